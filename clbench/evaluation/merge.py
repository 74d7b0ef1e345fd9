"""Shards of runs, joined into records and evidence, without a model or images."""

import logging
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor

from clbench.data.image_set import SetId
from clbench.evaluation.cuts import complete_cut, draft_in, draft_of
from clbench.evaluation.evaluation import Evaluation
from clbench.evaluation.finish import evidence_of, finished
from clbench.evaluation.parts import BLACK_BOX, SHARD, Part, images_of, parts_in, rows_of
from clbench.evaluation.result import result_of_state
from clbench.evaluation.shard_images import ShardImages, joined_images
from clbench.evaluation.state import EvaluationState
from clbench.evaluation.state_file import DAMAGED, PER_EXAMPLE, TOTALS, unpack
from clbench.evaluation.store import RunStore
from clbench.models.validate import same_answers
from clbench.schema.errors import ClbenchError, RecordError
from clbench.schema.record_files import read_record, run_paths
from clbench.schema.records import EvaluationRecord

log = logging.getLogger(__name__)


class _Loaded(NamedTuple):
    """A part as its file has it."""

    part: Part
    draft: EvaluationRecord
    state: EvaluationState
    about: dict[str, Any]


def merged(folders: Sequence[Path]) -> Iterator[Evaluation | ClbenchError]:
    """Yield every run whose shards lie in ``folders``: its evaluation, or what keeps it from one.

    Records and evidence are written into the first folder; the shards go when they are.

    Raises:
        RecordError: A folder is not there, or none holds a shard.
        StorageError: A file cannot be written.
    """
    runs = _runs(folders)
    for name, parts in runs.items():
        foreign = [part for other, its in runs.items() if other != name for part in its]
        try:
            loaded = [_load(part) for part in complete_cut(parts, foreign)]
            for other in loaded[1:]:
                _check_same_run(loaded[0], other)
            cut = [one.part for one in loaded]
            images = joined_images(cut, loaded[0].draft.run.hash, _order(loaded))
        except ClbenchError as error:
            if (record := _finished(folders[0], parts)) is None:
                yield error
            else:
                log.warning("%s is finished; clbench clean lists what is left of it", record)
            continue
        yield _joined(folders[0], loaded, images)
        for part in parts:
            for path in (part.path, images_of(part.path), rows_of(part.path)):
                path.unlink(missing_ok=True)


def _runs(folders: Sequence[Path]) -> dict[str, list[Part]]:
    """Return all shards in some folders, run by run."""
    for folder in folders:
        if not folder.is_dir():
            raise RecordError(f"there is no folder {folder}; give one that clbench eval wrote")
    runs: dict[str, list[Part]] = defaultdict(list)
    for folder in {one.resolve(): one for one in folders}.values():
        for part in parts_in(folder / "progress"):
            runs[part.progress.name].append(part)
    if not runs:
        where = " and ".join(map(str, folders))
        raise RecordError(
            f"no shard of a run lies in {where}; clbench eval --shard 1/2 --out {folders[0]} and "
            "the like make them"
        )
    return runs


def _finished(out: Path, parts: Sequence[Part]) -> Path | None:
    """Return the record of a run that was merged before, when not all of its shards went."""
    draft = next((one for part in parts if (one := draft_in(part))), None)
    record = run_paths(out, draft.run).record if draft else None
    return record if record is not None and record.exists() else None


def _load(part: Part) -> _Loaded:
    """Return what a part holds.

    Raises:
        RecordError: It is damaged, or not what its name says.
    """
    try:
        about, arrays = unpack(part.path.read_bytes())
        state, draft = _state(about, arrays), draft_of(about)
    except (ClbenchError, *DAMAGED) as error:
        raise RecordError(
            f"shard {part.shard} in {part.path} is damaged; move it away and run it again"
        ) from error
    run = run_paths(Path(), draft.run).progress
    if run.name != part.progress.name or about[SHARD] != str(part.shard):
        raise RecordError(
            f"{part.path} is not what its name says, but shard {about[SHARD]} of {run.stem}; give "
            "it its own name again"
        )
    return _Loaded(part, draft, state, about)


def _state(about: dict[str, Any], arrays: dict[str, Tensor]) -> EvaluationState:
    """Return the state that a file holds."""
    known: dict[str, Any] = {name: arrays[name] for name in PER_EXAMPLE}
    known |= {name: about[name] for name in TOTALS}
    return EvaluationState(
        about["identity"],
        SetId(*about["whole"]),
        **known,
        logits=arrays["logits"],
        flags=Counter(about["flags"]),
    )


def _check_same_run(first: _Loaded, other: _Loaded) -> None:
    """Check that two shards have in common what only their content tells.

    Raises:
        RecordError: They have not.
    """
    made, its = first.about["made_with"], other.about["made_with"]
    differing = next((key for key in made if its.get(key) != made[key]), None)
    if differing is not None:
        what = f"with {differing} {its.get(differing)} instead of {made[differing]}"
    elif (first.state.identity, first.state.whole) != (other.state.identity, other.state.whole):
        what = "of another network or of other images"
    elif not same_answers(first.state.logits, other.state.logits):
        what = "of a network that answers otherwise"
    else:
        return
    raise RecordError(
        f"shard {other.part.shard} in {other.part.path} was made {what}, unlike shard "
        f"{first.part.shard} in {first.part.path}; run one of them again"
    )


def _order(loaded: Sequence[_Loaded]) -> Int[Tensor, " n"]:
    """Return the indices of all examples as the data set has them."""
    order = torch.empty(loaded[0].state.whole.n, dtype=torch.int64)
    for one in loaded:
        order[one.part.shard.number :: one.part.shard.of] = one.state.index
    return order


def _joined(out: Path, loaded: Sequence[_Loaded], images: ShardImages) -> Evaluation:
    """Return the evaluation of one run, which is written below ``out``."""
    first, devices = loaded[0], dict.fromkeys(one.draft.device for one in loaded)
    draft = replace(first.draft, device=" + ".join(devices))
    state = EvaluationState.joined([one.state for one in loaded], _order(loaded))
    result = result_of_state(
        *(draft.components, first.about[BLACK_BOX], state, draft.batch_size),
        adversarial=images.adversarial,
        certificates=images.certificates,
    )
    store, before = RunStore.at(out, draft.run), None
    store.prepare()
    with suppress(RecordError):
        before = read_record(store.paths.record)
    evidence = evidence_of(draft.run.hash, result)
    record = store.write(finished(draft, result, before), evidence)
    return Evaluation(record, evidence, store.paths)
