"""Files of arrays, read and written: weights, inputs, pictures, samples."""
