"""Handwritten digits, labelled by whether they are odd."""

import numpy as np
from sklearn.datasets import load_digits

PARTS = 5
"""Every fifth image is for testing, the others are for training."""


def test_images() -> tuple[np.ndarray, np.ndarray]:
    """Return the test images [n, 1, 8, 8], floats in [0, 1], and labels [n]: 0 even, 1 odd."""
    return _part(np.arange(len(load_digits().target)) % PARTS == 0)


def training_images() -> tuple[np.ndarray, np.ndarray]:
    """Return the training images, likewise."""
    return _part(np.arange(len(load_digits().target)) % PARTS != 0)


def _part(chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    digits = load_digits()
    images = (digits.images[chosen, None] / 16).astype(np.float32)
    return images, digits.target[chosen] % 2
