"""Values under names, and the arguments of calls, checked against their declarations."""
