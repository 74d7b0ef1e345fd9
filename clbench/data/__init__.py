"""Images to evaluate on and to train with."""
