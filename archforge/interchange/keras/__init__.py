"""Keras: `layers` is the table of its layers with ours of the same meaning, `description` a model as a file
describes it, `opened` the three kinds of files that hold one.

Nothing here needs the package keras, and nothing that a file holds is run.
"""
