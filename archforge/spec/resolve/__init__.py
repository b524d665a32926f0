"""Specs found, read, and merged with all that they extend and import.

`sources` opens what a user names, `library` reads files, `resolve` merges documents into a `spec`, `lint`
finds the mistakes that show without running it. `block_spec` makes a spec of one block.
"""
