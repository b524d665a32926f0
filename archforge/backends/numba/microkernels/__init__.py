"""Loops written as explicit vectors in LLVM IR."""
