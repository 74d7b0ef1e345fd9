"""Comparisons of models: matrices, figures, and what they say about the paper's claims."""
