"""The leaderboard: every record of a folder as one row of a CSV file."""

import math
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import pandas as pd
from filelock import FileLock

from clbench.analysis.pairs import Band
from clbench.evaluation.parts import parts_in
from clbench.leaderboard.bands import bands
from clbench.leaderboard.headings import HASH_PREFIX
from clbench.leaderboard.outcomes import NOT_KNOWN, ByRun, outcomes_or_say
from clbench.schema.errors import RecordError, StorageError
from clbench.schema.files import write_atomically
from clbench.schema.group import Group
from clbench.schema.record_files import record_files, records_by_path
from clbench.schema.records import CKA_COLUMNS, EvaluationRecord, left_after, ranked_accuracy
from clbench.schema.text import no_formula, visible
from clbench.schema.threat_model import parse_eps

Cell = str | int | float | bool

CSV_NAME = "leaderboard.csv"

EXTERNAL = "external"
"""The column of lower robust accuracies that others found; only there where one is."""

_ACCURACIES = ("clean_acc", "robust_acc")


def build(out: Path) -> Path:
    """Write ``out/leaderboard.csv`` from the records under ``out`` and return its path.

    Safe beside other processes that build the same file: each reads the records inside a lock.

    Raises:
        RecordError: There are no records, or one cannot be read; the CSV stays as it was.
        StorageError: The folder cannot be written.
    """
    path = out / CSV_NAME
    if not record_files(out):
        raise no_records(out)
    try:
        with FileLock(out / ".leaderboard.lock"):
            records = records_by_path(out)
            board = render(list(records.values()), outcomes_or_say(records, out))
            write_atomically(path, board)
    except OSError as error:
        raise StorageError(f"cannot lock {out}: {error.strerror}; choose another --out") from error
    return path


def no_records(out: Path) -> RecordError:
    """Return the error of a folder without records, with what makes some."""
    shards = parts_in(out / "progress")
    if not shards:
        return RecordError(f"no records under {out}; run clbench eval --out {out} first")
    return RecordError(
        f"no records under {out}, but {len(shards)} shards; clbench merge {out} joins them"
    )


def read_ranked(out: Path) -> tuple[list[EvaluationRecord], ByRun]:
    """Return the records under ``out``, and what is known of their examples.

    Raises:
        RecordError: There are none, or one cannot be read.
    """
    found = records_by_path(out)
    if not found:
        raise no_records(out)
    return list(found.values()), outcomes_or_say(found, out)


def render(records: Sequence[EvaluationRecord], outcomes: ByRun = NOT_KNOWN) -> bytes:
    """Return the leaderboard of ``records`` as CSV; the same records give the same bytes.

    What others wrote is text in it: in one line, nothing hidden, and no formula.
    """
    board = table(records, outcomes).map(
        lambda cell: no_formula(cell) if isinstance(cell, str) else cell
    )
    board["eps_value"] = board["eps_value"].map(repr, na_action="ignore").astype(object)
    board.columns = board.columns.map(no_formula)
    csv: str = board.to_csv(index=False, lineterminator="\n", float_format=_digits)
    return csv.encode()


def table(records: Sequence[EvaluationRecord], outcomes: ByRun = NOT_KNOWN) -> pd.DataFrame:
    """Return the leaderboard of ``records``: one row each, sorted and ranked within its group.

    Undefined values are NaN. Rows with equal robust accuracy share a rank.

    Args:
        records: In any order.
        outcomes: What is known of their examples, which makes rank bands narrower.
    """
    ordered = in_order(records)
    board = pd.DataFrame([row(record) for record in ordered], columns=columns(ordered))
    if ordered:
        seeds = _seeds_of_recipes(ordered)
        board["n_seeds"] = [len(seeds[_trained(record)]) or 1 for record in ordered]
        _rank(board, ordered, outcomes)
    return board


def _rank(board: pd.DataFrame, ordered: Sequence[EvaluationRecord], outcomes: ByRun) -> None:
    """Fill in ranks and their bands, of rows that have a robust accuracy and no upper bound."""
    ranked = pd.Series([ranked_accuracy(record) for record in ordered])
    groups = pd.Series(_numbered([record.group for record in ordered]))
    board["rank"] = ranked.groupby(groups).rank(method="min", ascending=False).astype("Int64")
    found: dict[int, Band] = {}
    for _, values in ranked.dropna().groupby(groups):
        places = values.index.tolist()
        known = [outcomes.get(ordered[one].run.hash) for one in places]
        n = ordered[places[0]].data.n
        found |= zip(places, bands(values.tolist(), n, known), strict=True)
    for bound in Band._fields:
        cells = [getattr(found.get(one), bound, None) for one in range(len(ordered))]
        board[f"rank_{bound}"] = pd.array(cells, dtype="Int64")


def _trained(record: EvaluationRecord) -> tuple[Group, str]:
    """Return what records of several trainings of one recipe have in common."""
    return record.group, record.model.recipe_sha256


def _seeds_of_recipes(records: Sequence[EvaluationRecord]) -> dict[tuple[Group, str], set[int]]:
    """Return the seeds of each recipe that is known; of others none."""
    found: dict[tuple[Group, str], set[int]] = defaultdict(set)
    for record in records:
        seed = record.model.training_seed
        if record.model.recipe_sha256 and seed is not None:
            found[_trained(record)].add(seed)
    return found


def in_order(records: Sequence[EvaluationRecord]) -> list[EvaluationRecord]:
    """Return records in the order of the leaderboard's rows."""
    return sorted(records, key=_order)


def columns(records: Sequence[EvaluationRecord]) -> list[str]:
    """Return the columns in order: the fixed ones, and what ``records`` have beside them."""
    attacks = _distinct([left_after(one) for r in records for one in r.components])
    fixed = {*_ACCURACIES, *attacks, *CKA_COLUMNS}
    probes = _distinct([m.name for r in records for m in r.measures if m.name not in fixed])
    return [
        *("rank", "rank_low", "rank_high", "model", "scheme", "scenario", "backbone"),
        *("dataset", "norm", "eps", "eps_value", "n_examples"),
        *(f"{accuracy}{bound}" for accuracy in _ACCURACIES for bound in ("", "_low", "_high")),
        *([EXTERNAL] if any(record.external for record in records) else []),
        *("attack", "attack_backend", "attack_hash"),
        *attacks,
        *CKA_COLUMNS,
        *probes,
        *("unreliable", "flags", "seed", "n_seeds", "weights_sha256", "data_sha256"),
        *("clbench_version", "commit", "created", "device", "wall_s"),
    ]


def row(record: EvaluationRecord) -> dict[str, Cell]:
    """Return what one record shows, by column; ranks and seeds are only known among others.

    Whatever others wrote is visible text in one line.
    """
    threat, attack = record.threat_model, record.attack
    cells: dict[str, Cell] = {
        "model": record.model.name,
        "scheme": record.model.scheme,
        "scenario": record.model.scenario,
        "backbone": record.model.backbone,
        "dataset": record.data.name,
        "norm": threat.norm if threat else "",
        "eps": threat.eps if threat else "",
        "eps_value": float(parse_eps(threat.eps)) if threat else math.nan,
        "n_examples": record.data.n,
        "attack": attack.name if attack else "",
        "attack_backend": attack.backend if attack else "",
        "attack_hash": f"{HASH_PREFIX}{attack.hash}" if attack else "",
        "unreliable": record.unreliable,
        "flags": " ".join(record.flag_names),
        "seed": record.seed,
        "weights_sha256": record.model.weights_sha256,
        "data_sha256": record.data.sha256,
        "clbench_version": record.versions.get("clbench", ""),
        "commit": record.commit,
        "created": record.created,
        "device": record.device,
        "wall_s": round(record.wall_s, 1),
    }
    if record.external is not None:
        cells[EXTERNAL] = record.external.robust_acc
    for measure in record.measures:
        cells[visible(measure.name)] = measure.value
        if measure.name in _ACCURACIES:
            cells |= {f"{measure.name}_low": measure.low, f"{measure.name}_high": measure.high}
    return {key: visible(of) if isinstance(of, str) else of for key, of in cells.items()}


def _digits(value: object) -> str:
    # six digits give back the count among up to 500,000 examples
    return str(round(float(cast("float", value)), 6))


def _order(record: EvaluationRecord) -> tuple[object, ...]:
    def descending(value: float) -> float:
        return math.inf if math.isnan(value) else -value

    def measured(name: str) -> float:
        measure = record.measure(name)
        return math.nan if measure is None else measure.value

    group = record.group
    return (
        record.data.name,
        group.n_examples,
        *group,
        descending(ranked_accuracy(record)),
        descending(measured("robust_acc")),
        descending(measured("clean_acc")),
        record.model.name,
        record.run.hash,
    )


def _numbered(groups: Sequence[Group]) -> list[int]:
    """Return a number for each, equal where they are."""
    numbers = {group: number for number, group in enumerate(dict.fromkeys(groups))}
    return [numbers[group] for group in groups]


def _distinct(names: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(map(visible, names)))
