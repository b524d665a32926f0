"""Rows of the table of Keras's layers, a file for each kind of layer."""
