"""The laws that attacks keep, for the tests of anybody's own."""

from collections.abc import Mapping
from typing import Any

from clbench.testing.attacks import ATTACK_LAWS, check_attack
from clbench.testing.law import Law

LAWS: dict[str, Mapping[str, Law[Any]]] = {
    "attack": ATTACK_LAWS,
}
"""All laws by name, by the kind of thing that keeps them."""

__all__ = ["LAWS", "check_attack"]
