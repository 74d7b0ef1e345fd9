"""Weights files as the field has them, read by one reader that executes nothing."""
