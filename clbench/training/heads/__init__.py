"""Classifiers for encoders that have none, by the field's three protocols."""
