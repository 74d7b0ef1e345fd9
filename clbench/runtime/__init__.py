"""What runs networks, and knows nothing of robustness."""
