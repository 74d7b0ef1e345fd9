"""What a run goes on from: its own progress, and that of the same run when it was cut otherwise."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import torch
from jaxtyping import Int
from torch import Tensor

from clbench.evaluation.parts import name_of, other_cuts, part_at
from clbench.evaluation.state import ROBUST, EvaluationState, Mismatch
from clbench.schema.files import set_aside

log = logging.getLogger(__name__)

Read = Callable[[bytes], EvaluationState | Mismatch]
"""From the bytes of progress to what they know of the run's examples."""


def saved_state(
    own: Path | None, read: Read, index: Int[Tensor, " n"], n_steps: int
) -> EvaluationState | None:
    """Return what is known of some examples of a run, None where that is nothing.

    A file of its own that cannot be gone on from is set aside, and named in the log. Progress that
    was made in another number of shards is only read: it goes when the run is finished. Its passes
    and its time are counted once, by the first shard.

    Args:
        own: The run's own progress, or where it will be.
        read: Reads progress.
        index: Which examples these are.
        n_steps: How many components attack them.
    """
    if own is None:
        return None
    mine, others = _own(own, read), _others(own, read)
    if mine is not None:
        others = {name: one for name, one in others.items() if _is_further(one, mine)}
    if not others:
        return mine
    name = name_of(own)
    states = others if mine is None else others | {name: mine}
    state = EvaluationState.joined(list(_counted_once(states, name, own)), index)
    _tell(state, own, others, len(index), n_steps)
    return state


def _own(own: Path, read: Read) -> EvaluationState | None:
    if not own.is_file():
        return None
    found = read(own.read_bytes())
    if isinstance(found, EvaluationState):
        return found
    log.warning("cannot go on from %s: %s; kept as %s", own, found.reason, set_aside(own))
    return None


def _others(own: Path, read: Read) -> dict[str, EvaluationState]:
    found = {}
    for name, path in other_cuts(own).items():
        with suppress(FileNotFoundError):  # the run was finished meanwhile
            if isinstance(state := read(path.read_bytes()), EvaluationState):
                found[name] = state
    return found


def _is_further(other: EvaluationState, mine: EvaluationState) -> bool:
    """Say whether another state knows more of any example."""
    known = dict(zip(mine.index.tolist(), _steps(mine), strict=True))
    pairs = zip(other.index.tolist(), _steps(other), strict=True)
    return any(steps > known.get(index, -1) for index, steps in pairs)


def _steps(state: EvaluationState) -> list[float]:
    done = state.components_done.double()
    steps: list[float] = done.where(state.broken_by == ROBUST, torch.inf).tolist()
    return steps


def _counted_once(
    states: Mapping[str, EvaluationState], name: str, own: Path
) -> Iterator[EvaluationState]:
    """Yield the states, of which each one's passes and time are counted by one shard alone."""
    part = part_at(own)
    is_first = part is None or part.shard.number == 0
    for its_name, state in states.items():
        elsewhere = [one.counted for other, one in states.items() if other != its_name]
        is_counted = its_name in frozenset[str]().union(*elsewhere)
        counts = not is_counted and (is_first or its_name == name)
        kept = state if counts else replace(state.without_totals(), flags=state.flags)
        yield replace(
            kept, counted=(kept.counted | {its_name} if is_first else kept.counted) - {name}
        )


def _tell(
    state: EvaluationState, own: Path, others: Mapping[str, object], n: int, n_steps: int
) -> None:
    """Say what was taken up, where something is left to do."""
    decided = int(((state.broken_by != ROBUST) | (state.components_done >= n_steps)).sum())
    if decided == n:
        return
    cuts = {name.partition("of")[2] for name in others}
    before = " and ".join(f"{of} shards" if of else "one piece" for of in sorted(cuts))
    part = part_at(own)
    now = f"shard {part.shard}" if part else "one piece"
    log.warning(
        "this run was begun in %s and goes on in %s: of %d examples there, %d need nothing more",
        *(before, now, n, decided),
    )
