"""Which shards make a run whole, and what is said of those that do not; only heads are read."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import astuple
from typing import Any

from clbench.evaluation.parts import DRAFT, Part, about_of
from clbench.schema.dataclass_io import from_table, parse_json
from clbench.schema.errors import ClbenchError, CommandError, RecordError
from clbench.schema.files import DAMAGED_NPZ
from clbench.schema.records import EvaluationRecord, RunIdentity
from clbench.schema.shard import Shard, named


def draft_of(about: Mapping[str, Any]) -> EvaluationRecord:
    """Return a run's record as it was before its first attack, from what its progress says.

    Raises:
        ClbenchError: It is no record.
    """
    return from_table(EvaluationRecord, parse_json(about[DRAFT].encode()), "record")


def complete_cut(parts: Sequence[Part], foreign: Sequence[Part]) -> list[Part]:
    """Return shards of one run that are all there and finished, in their order.

    Args:
        parts: All that there are of the run.
        foreign: Shards of other runs, among which a missing one may be.

    Raises:
        CommandError: There are no such; each that is missing, unfinished, damaged or there twice
            is named.
    """
    cuts: dict[int, list[Part]] = defaultdict(list)
    for part in parts:
        cuts[part.shard.of].append(part)
    faults = {of: list(_faults(cut, foreign)) for of, cut in cuts.items()}
    # of a run that was cut anew before it was finished, the one that went on is complete
    best = min(cuts, key=lambda of: (len(faults[of]) > 0, -len(cuts[of]) / of, of))
    if faults[best]:
        raise CommandError(faults[best])
    return sorted(cuts[best], key=lambda part: part.shard)


def _faults(cut: Sequence[Part], foreign: Sequence[Part]) -> Iterator[ClbenchError]:
    """Yield what is wrong with the shards of one cut of one run."""
    run = _run_of(cut)
    found: dict[Shard, Part] = {}
    for part in cut:
        if part.shard in found:
            yield RecordError(
                f"shard {part.shard} of {run} is there twice, in {found[part.shard].path} and "
                f"{part.path}; move one of them away"
            )
        found[part.shard] = part
    for part in found.values():
        left = part.left
        if left is None:
            yield RecordError(
                f"shard {part.shard} in {part.path} is damaged; move it away and run it again"
            )
        elif left:
            yield RecordError(
                f"shard {part.shard} of {run} is not finished, {left} examples are left in "
                f"{part.path}; its command goes on with it"
            )
    of = cut[0].shard.of
    missing = [one for number in range(of) if (one := Shard(number, of)) not in found]
    if missing:
        yield RecordError(_missing(missing, run, cut, foreign))


def _missing(
    missing: Sequence[Shard], run: str, cut: Sequence[Part], foreign: Sequence[Part]
) -> str:
    names, verb = ("shards", "are") if len(missing) > 1 else ("shard", "is")
    line = (
        f"{names} {named(missing)} of {run} {verb} missing; run what is missing, or name "
        "the folder that holds it"
    )
    others = [part for part in foreign if part.shard in missing]
    mine = draft_in(cut[0])
    theirs = draft_in(others[0]) if others else None
    if mine is None or theirs is None:
        return line
    return f"{line} ({others[0].path} is of another run: {_difference(mine.run, theirs.run)})"


def _run_of(cut: Sequence[Part]) -> str:
    draft = next((one for part in cut if (one := draft_in(part))), None)
    return cut[0].progress.stem if draft is None else words_for(draft)


def words_for(record: EvaluationRecord) -> str:
    """Return a run in a few words."""
    return f"{record.model.name} on {record.data.name} ({record.setting})"


def draft_in(part: Part) -> EvaluationRecord | None:
    """Return the draft that a part holds, None where nobody can tell."""
    try:
        return draft_of(about_of(part.path))
    except (ClbenchError, *DAMAGED_NPZ):
        return None


def _difference(mine: RunIdentity, theirs: RunIdentity) -> str:
    """Return in what two runs differ first."""
    rows: dict[str, Callable[[RunIdentity], object]] = {
        "model": lambda run: run.model.name,
        "weights": lambda run: run.model.identity_sha256[:8],
        "code": lambda run: run.model.source,
        "data": lambda run: f"{run.data.n} images of {run.data.name} ({run.data.sha256[:8]})",
        "threat model": lambda run: run.threat_model and " ".join(astuple(run.threat_model)),
        "attack": lambda run: run.attack and f"{run.attack.name} ({run.attack.hash})",
        "backend": lambda run: run.attack and run.attack.backend,
        "seed": lambda run: run.seed,
        "precision": lambda run: run.precision,
        "batch size": lambda run: run.batch_size,
    }
    pairs = ((name, value(theirs), value(mine)) for name, value in rows.items())
    found = (f"{name} {its}, not {ours}" for name, its, ours in pairs if its != ours)
    return next(found, "other files of the model's code")
