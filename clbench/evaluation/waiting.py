"""The first of several processes waits for the shards of the others, which must be of its run."""

import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from clbench.evaluation.cuts import draft_in
from clbench.evaluation.parts import (
    BEGUN,
    MADE_WITH,
    Part,
    about_of,
    finished_parts,
    part_at,
    parts_in,
    parts_of,
)
from clbench.schema.errors import BadValueError, ModelError
from clbench.schema.files import DAMAGED_NPZ
from clbench.schema.progress import OnProgress
from clbench.schema.records import EvaluationRecord, RunIdentity

WAIT_S = 0.5
"""Seconds between two looks at the folder that processes share."""


def wait_for_parts(own: Path, tell: OnProgress) -> None:
    """Return when all shards of a run are finished.

    Args:
        own: The file of one of them; where it is gone, somebody else has finished the run.
        tell: Told how many are finished, while some are not.

    Raises:
        BadValueError: Another process runs in another precision, on another kind of device or with
            other versions.
        ModelError: Another process has run its shard of another network.
    """
    mine = part_at(own)
    assert mine is not None, "it is a shard"
    while own.exists():
        _check_made_alike(mine)
        done = finished_parts(mine.progress, mine.shard.of)
        if len(done) == mine.shard.of:
            return
        _check_same_run(mine, {*done})
        tell("waiting for the other processes", len(done), mine.shard.of)
        time.sleep(WAIT_S)


def _check_made_alike(mine: Part) -> None:
    """Check that shards of this run are made with the same versions and kind of device.

    Raises:
        BadValueError: One is not.
    """
    cut = [one for one in parts_of(mine.progress) if one.shard.of == mine.shard.of]
    here: dict[str, str] = about_of(mine.path)[MADE_WITH]
    for part in _of_now(cut):
        there = here
        with suppress(*DAMAGED_NPZ):  # its own process tells
            there = about_of(part.path)[MADE_WITH]
        if said := ", ".join(
            f"{key} {there.get(key)}, not {here[key]}"
            for key in here
            if there.get(key) != here[key]
        ):
            raise BadValueError(_unlike(part, said))


def _check_same_run(mine: Part, done: set[object]) -> None:
    """Check that no process of this command has finished its shard in another run than this one.

    Processes run the same evaluations in the same order. Other commands in the same folder have
    other settings.

    Raises:
        BadValueError: One has, in another precision or with another batch size.
        ModelError: One has, of another network.
    """
    draft = draft_in(mine)
    others = (part for part in parts_in(mine.path.parent) if part.progress != mine.progress)
    for part in _of_now(others):
        missing = part.shard.of == mine.shard.of and part.shard not in done
        its = draft_in(part) if missing and part.left == 0 else None
        if draft is None or its is None or _asked_for(its.run) != _asked_for(draft.run):
            continue
        if said := _difference(draft, its):
            raise BadValueError(_unlike(part, said))
        raise ModelError(
            f"process {part.shard.number} of {mine.shard.of} evaluated another network, as "
            f"{part.path} says: does the model's code give other weights every time? Seed it, "
            "or give --weights"
        )


def _of_now(parts: Iterator[Part] | list[Part]) -> Iterator[Part]:
    """Yield those that were written since this process began."""
    for part in parts:
        with suppress(FileNotFoundError):  # the run was finished meanwhile
            if part.path.stat().st_mtime > BEGUN:
                yield part


def _asked_for(run: RunIdentity) -> tuple[object, ...]:
    """Return of a run what all processes of a command have in common, wherever they run."""
    return run.model.name, run.data, run.threat_model, run.attack, run.seed


def _difference(mine: EvaluationRecord, its: EvaluationRecord) -> str:
    """Return what differs of what each process settles by itself, "" where that is equal."""
    rows = {
        "precision": (its.precision, mine.precision),
        "batch size": (its.batch_size, mine.batch_size),
        "device": (its.device, mine.device),
    }
    return ", ".join(
        f"{name} {there}, not {here}" for name, (there, here) in rows.items() if there != here
    )


def _unlike(part: Part, said: str) -> str:
    return (
        f"process {part.shard.number} of {part.shard.of} runs unlike process 0, with {said}; give "
        "--device, --precision and --batch-size that all have, and the same versions"
    )
