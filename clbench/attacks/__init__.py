"""Attacks: what they are, and who runs them."""
