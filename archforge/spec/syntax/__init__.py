"""The language's syntax: a tree becomes a document of blocks and steps."""
