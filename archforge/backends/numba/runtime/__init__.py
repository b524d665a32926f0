"""Tapes of calls, their records and memory, and the threads that run them."""
