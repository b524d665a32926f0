"""TorchScript: modules that torch.jit.trace has recorded, opened by torch, which must be installed.

Source: torch's own schemas of its ops, and the documentation of torch.nn.functional.
"""
