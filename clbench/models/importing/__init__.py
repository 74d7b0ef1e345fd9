"""Checkpoints of other projects made into networks, each question answered or asked."""
