"""Caffe: networks in its text format and in caffemodels.

Source: src/caffe/proto/caffe.proto, and the layers in src/caffe/layers.
"""
