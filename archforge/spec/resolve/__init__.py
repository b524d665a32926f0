"""Specs found, read, and merged with all that they extend and import."""
