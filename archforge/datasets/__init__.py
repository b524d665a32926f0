"""Data to train on: samples in memory or in files, read when they are needed, and what is done to them.

Read `base.py`; a new format is one file in `formats`. Nothing is downloaded, and nothing is read that could
run code.
"""

from archforge.datasets.base import Data, DataSettings, Format, Pair, Samples, Transform

__all__ = ["Data", "DataSettings", "Format", "Pair", "Samples", "Transform"]
