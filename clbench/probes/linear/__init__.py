"""Linear classifiers of the features at a layer."""
