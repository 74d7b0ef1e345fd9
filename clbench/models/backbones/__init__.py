"""Backbones of the zoo."""
