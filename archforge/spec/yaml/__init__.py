"""YAML text to a tree of plain values, each with its place in the text."""
