"""Networks of other frameworks and formats: tables of their ops, readers, translations."""
