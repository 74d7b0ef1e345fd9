"""Probes: what a network's representations say about its robustness."""
