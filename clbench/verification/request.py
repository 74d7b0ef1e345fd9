"""What is to be verified how far, and with what; nothing here loads torch."""

import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clbench.attacks.grammar import check_attack
from clbench.schema.errors import BadValueError
from clbench.schema.numbers import LARGEST_COUNT, whole
from clbench.verification.bounds import DRAWN
from clbench.verification.findings import AUDITED, FILES, RESCORED

_NONCE_BYTES = 8


@dataclass(frozen=True)
class Given:
    """What whoever verifies gave, where a record's own names do not lead to it; None: nothing."""

    model: Any = None
    weights: Path | None = None
    data: Any = None
    data_dir: Path | None = None
    output: str | int | None = None

    @property
    def something(self) -> bool:
        """Whether there is anything."""
        return any(value is not None for value in vars(self).values())


@dataclass(frozen=True)
class Request:
    """Up to which ``level`` to verify, with what, and how many examples an audit draws."""

    level: int
    given: Given
    n: int
    nonce: str
    attack: str | None
    device: str


def read_request(
    given: Given,
    *,
    level: int | None,
    audit: int | None,
    nonce: str | None,
    attack: str | None,
    device: str,
) -> Request:
    """Return how far to go: as far as is said, or as what was given is good for.

    Raises:
        BadValueError: There is no such level, or something was given that it does not need.
        UnknownNameError: There is no such attack.
    """
    if attack is not None:
        check_attack(attack)
    audits = any(value is not None for value in (audit, nonce, attack))
    needs = AUDITED if audits else RESCORED if given.something else FILES
    level = needs if level is None else whole("--level", level, FILES, AUDITED)
    if level < needs:
        what = "an audit, a nonce or an attack" if audits else "a model, weights or data"
        raise BadValueError(
            f"level must be {needs} where {what} is given, got {level}; leave one of them out"
        )
    n = DRAWN if audit is None else whole("--audit", audit, 1, LARGEST_COUNT)
    nonce = secrets.token_hex(_NONCE_BYTES) if nonce is None else nonce
    return Request(level, given, n, nonce, attack, device)
