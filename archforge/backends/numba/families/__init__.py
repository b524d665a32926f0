"""One file for each family of kernels: which ops it takes, how their weights lie, what each call records."""
