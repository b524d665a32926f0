"""Augmentations of samples, one file each."""
