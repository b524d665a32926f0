"""YAML text to a tree of plain values, each with its place in the text.

`tree` first, over the events of `parsers`; `parser_errors` says in an author's words what is no YAML,
`text_positions` finds the characters of texts that are folded or escaped, `comments` what parsers drop.
"""
