"""Parameters of a network: fresh from a seed or made by rule, bound by name and shape; golden outputs."""

from archforge.weights.bind import bind
from archforge.weights.init import fresh_weights
from archforge.weights.rule_made import rule_array, rule_input, rule_weights

__all__ = ["bind", "fresh_weights", "rule_array", "rule_input", "rule_weights"]
