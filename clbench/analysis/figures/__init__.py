"""Figures: pure functions from matrices and estimates to pages."""
