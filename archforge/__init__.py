"""archforge: a compiler for convolutional model zoos."""

__version__ = "0.1.0"
