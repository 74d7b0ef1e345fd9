"""The laws of attacks, measures, losses, models, readers and states, for tests of anybody's own.

Every ``check_*`` raises AssertionError where a law is broken; the message names the law and what
was seen. A law is asserted on the thing itself, before anybody checks or mends what it returns.
"""

from collections.abc import Mapping
from typing import Any

from clbench.testing.attacks import ATTACK_LAWS, check_attack
from clbench.testing.law import Law
from clbench.testing.losses import LOSS_LAWS, check_loss
from clbench.testing.measures import MEASURE_LAWS, check_measure
from clbench.testing.models import MODEL_LAWS, check_model
from clbench.testing.readers import READER_LAWS, check_reader
from clbench.testing.states import STATE_LAWS, check_state

LAWS: dict[str, Mapping[str, Law[Any]]] = {
    "attack": ATTACK_LAWS,
    "measure": MEASURE_LAWS,
    "loss": LOSS_LAWS,
    "model": MODEL_LAWS,
    "reader": READER_LAWS,
    "state": STATE_LAWS,
}
"""All laws by name, by the kind of thing that keeps them."""

__all__ = [
    "LAWS",
    "check_attack",
    "check_loss",
    "check_measure",
    "check_model",
    "check_reader",
    "check_state",
]
