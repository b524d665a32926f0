"""The toolchain: from recipes of functions to machine code in this process, by way of a cache on disk.

Read `machine_code.py`, which is all that others need, then `compiler.py`, `code_cache.py` and `linker.py`,
the ways that it takes; `machine.py` is the machine that code is made for.
"""
