"""Robustness benchmark of contrastive, supervised-contrastive and supervised image models."""

__version__ = "0.1.0"
