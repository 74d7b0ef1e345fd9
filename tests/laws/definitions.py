"""The slow plain twins of training losses, called as the laws call them."""

import runpy
from pathlib import Path

_FOLDER = Path(__file__).parents[1] / "reference"
_FOUND = {
    name: value
    for file in ("contrastive.py", "trades.py", "cross_entropy.py")
    for name, value in runpy.run_path(str(_FOLDER / file)).items()
}


def _rows(outputs, labels):
    return outputs.flatten(0, 1).tolist(), labels.repeat(len(outputs)).tolist()


def nt_xent(outputs, labels, weights):
    return _FOUND["nt_xent_by_definition"](_rows(outputs, labels)[0], weights.temperature)


def supcon(outputs, labels, weights):
    return _FOUND["supcon_by_definition"](*_rows(outputs, labels), weights.temperature)


def cross_entropy(outputs, labels, weights):
    return _FOUND["cross_entropy_by_definition"](*_rows(outputs, labels))


def trades(outputs, labels, weights):
    clean, adversarial = outputs.tolist()
    return _FOUND["trades_by_definition"](clean, adversarial, labels.tolist(), weights.beta)


DEFINITIONS = {
    "nt_xent": nt_xent,
    "supcon": supcon,
    "cross_entropy": cross_entropy,
    "trades": trades,
}
"""By the names of ``LOSSES``."""
