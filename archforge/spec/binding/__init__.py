"""Values under names, and the arguments of calls, checked against their declarations.

`tensors` has the values of a graph under construction, `environment` the names that a formula sees, `calls`
the arguments of ops and blocks. `modifier_checks` holds the values of modifiers, `suggestions` the ways out
of mistakes.
"""
