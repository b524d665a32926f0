"""Backends that only tests have. `tests/plain_backend.py` puts this folder beside archforge's own."""
