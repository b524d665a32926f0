"""Arrays by name: read, written, made by rule or from a seed, and bound to a network's parameters."""

from archforge.weights.bind import bind
from archforge.weights.files import read_inputs, read_weights, write_arrays, written_beside
from archforge.weights.init import fresh_weights
from archforge.weights.rule import rule_array, rule_input, rule_weights

__all__ = [
    "bind",
    "fresh_weights",
    "read_inputs",
    "read_weights",
    "rule_array",
    "rule_input",
    "rule_weights",
    "write_arrays",
    "written_beside",
]
