"""A spec to a typed graph: steps walked, shapes inferred, nodes named."""
