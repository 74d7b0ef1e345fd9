"""Contrastive losses by their definitions, anchor by anchor in Python's own numbers."""

import math


def _cosine(one, other):
    dot = math.fsum(a * b for a, b in zip(one, other, strict=True))
    return dot / math.sqrt(math.fsum(a * a for a in one) * math.fsum(b * b for b in other))


def supcon_by_definition(rows, labels, temperature):
    """The mean over anchors of equation 2 of arXiv:2004.11362; one row and label per view."""
    total = 0.0
    for anchor, row in enumerate(rows):
        others = [other for other in range(len(rows)) if other != anchor]
        scores = {other: math.exp(_cosine(row, rows[other]) / temperature) for other in others}
        everything = math.fsum(scores.values())
        positives = [other for other in others if labels[other] == labels[anchor]]
        total += -math.fsum(math.log(scores[p] / everything) for p in positives) / len(positives)
    return total / len(rows)


def nt_xent_by_definition(rows, temperature):
    """Equation 1 of arXiv:2002.05709 for two views, of which the first half of the rows is one."""
    n = len(rows) // 2
    total = 0.0
    for anchor, row in enumerate(rows):
        partner = (anchor + n) % (2 * n)
        everything = math.fsum(
            math.exp(_cosine(row, other) / temperature)
            for index, other in enumerate(rows)
            if index != anchor
        )
        total -= math.log(math.exp(_cosine(row, rows[partner]) / temperature) / everything)
    return total / (2 * n)
