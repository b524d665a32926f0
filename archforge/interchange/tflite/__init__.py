"""TensorFlow Lite: networks whose arithmetic is float, with weights in float or in whole numbers.

Source: tensorflow/lite/schema/schema.fbs, and the kernels of the runtime.
"""
