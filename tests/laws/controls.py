"""Senseless things, each with the laws that it must break: if it keeps them, they are no laws."""

from dataclasses import dataclass

from senseless import attacks, losses, measures, models, readers, states

from clbench.testing.law import Case


@dataclass(frozen=True)
class Control:
    """A senseless thing of a kind in ``LAWS``; it breaks these laws and keeps all others."""

    kind: str
    case: Case
    breaks: frozenset[str]


def _rows(kind, rows):
    return [Control(kind, case, frozenset(laws)) for case, *laws in rows]


CONTROLS = [
    *_rows("attack", attacks.ROWS),
    *_rows("measure", measures.ROWS),
    *_rows("loss", losses.ROWS),
    *_rows("model", models.ROWS),
    *_rows("reader", readers.ROWS),
    *_rows("state", states.ROWS),
]
"""Every senseless thing. A new law comes with a row here."""
