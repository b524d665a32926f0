"""Tapes of calls at run time: how they are recorded, given memory, and run on threads.

Read `records.py`, the contract between Python and machine code, then `tape.py`, on which kernels record their
calls, and `workspace.py`, which makes records of the calls and runs them; the loop over units is machine code
itself (`units/scheduler.py`). `unit_recipe.py` names the units.
"""
