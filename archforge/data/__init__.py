"""Arrays from and to files: weights, inputs, pictures, samples."""
