"""Robust accuracy under a plan of attacks."""
