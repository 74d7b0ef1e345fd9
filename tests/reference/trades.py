"""TRADES by its definition, example by example in Python's own numbers."""

import math


def _softmax(logits):
    weights = [math.exp(logit - max(logits)) for logit in logits]
    return [weight / math.fsum(weights) for weight in weights]


def trades_by_definition(clean, adversarial, labels, beta):
    """Equation 5 of arXiv:1901.08573 at given adversarial images, with beta for 1 / lambda."""
    total = 0.0
    for ours, theirs, label in zip(clean, adversarial, labels, strict=True):
        p, q = _softmax(ours), _softmax(theirs)
        total -= math.log(p[label])
        total += beta * math.fsum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
    return total / len(labels)
