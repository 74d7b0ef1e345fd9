"""Records as entries of RobustBench's leaderboards: ``DATASET/NORM/MODEL.json``."""

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from clbench.leaderboard.export.about import About, Paper
from clbench.leaderboard.export.interface import Written, is_packaged
from clbench.leaderboard.export.model_info import ModelInfo
from clbench.schema.estimate import Estimate
from clbench.schema.files import safe_name
from clbench.schema.records import EvaluationRecord
from clbench.schema.text import visible
from clbench.schema.threat_model import parse_eps

ATTACK = "autoattack"
"""The attack whose robust accuracy its tables hold: AutoAttack's standard version."""


class Table(NamedTuple):
    """One of its leaderboards: eps as its files write it, and how many images it asks for."""

    eps: str
    n_examples: int


TABLES: Mapping[tuple[str, str], Table] = {
    ("cifar10", "Linf"): Table("8/255", 10_000),
    ("cifar10", "L2"): Table("0.5", 10_000),
    ("cifar100", "Linf"): Table("8/255", 10_000),
    ("imagenet", "Linf"): Table("4/255", 5_000),
}
"""By data set and norm."""

_DATASETS = tuple(dict.fromkeys(dataset for dataset, _ in TABLES))
_NORMS = tuple(dict.fromkeys(norm for _, norm in TABLES))


def export(records: Sequence[EvaluationRecord], about: About, out: Path) -> Written:
    """Return RobustBench's files of the records that have a place in its leaderboards.

    Of several of one model and leaderboard, the one with the most images is taken, and of these the
    lowest robust accuracy.
    """
    files: dict[str, bytes] = {}
    left_out = []
    for record in sorted(records, key=_first):
        reason = _why_not(record, about)
        name = f"{record.data.name}/{_norm(record)}/{safe_name(record.model.name)}.json"
        if not reason and name in files:
            reason = f"{name} is of another of its records, on as many images or more"
        if reason:
            left_out.append(f"{visible(record.model.name)} ({record.setting}): {reason}")
        else:
            files[name] = entry(record, about.paper(record.model.name)).to_bytes()
    return Written(files, tuple(left_out))


def entry(record: EvaluationRecord, paper: Paper) -> ModelInfo:
    """Return a record that has a place in RobustBench's leaderboards as an entry of them.

    Its page shows texts as HTML, so they are written as such.
    """
    table = TABLES[record.data.name, _norm(record)]
    clean, robust = record.measure("clean_acc"), record.measure("robust_acc")
    assert clean is not None, "an attacked record has it"
    assert robust is not None, "likewise"
    paper_name = paper.name or record.model.name
    footnote = _footnote(record, robust, table.n_examples)
    return ModelInfo(
        {
            "link": paper.link,
            "name": _text(paper_name),
            "authors": _text(paper.authors),
            "additional_data": bool(paper.additional_data),
            "number_forward_passes": paper.number_forward_passes,
            "dataset": record.data.name,
            "venue": _text(paper.venue),
            "architecture": _text(paper.architecture or record.model.backbone),
            "eps": table.eps,
            "clean_acc": _percent(clean.value),
            "reported": paper.reported,
            "autoattack_acc": _percent(robust.value),
            **({"external": _percent(record.external.robust_acc)} if record.external else {}),
            **({"footnote": footnote} if footnote else {}),
            "unreliable": record.unreliable,
        }
    )


def _why_not(record: EvaluationRecord, about: About) -> str:
    """Return why a record has no place in its leaderboards, "" where it has one."""
    norm, dataset = _norm(record), record.data.name
    if record.attack is None or record.threat_model is None:
        return "nothing was attacked"
    if dataset not in _DATASETS:
        return f"RobustBench has no data set {visible(dataset)}, but {', '.join(_DATASETS)}"
    if norm not in _NORMS:
        return f"RobustBench has no name for {norm}; its threat models are {', '.join(_NORMS)}"
    if (dataset, norm) not in TABLES:
        return f"RobustBench has no leaderboard of {dataset} in {norm}"
    table = TABLES[dataset, norm]
    misfits = {
        f"RobustBench's leaderboard of {dataset} in {norm} is at eps {table.eps}": (
            parse_eps(record.threat_model.eps) != parse_eps(table.eps)
        ),
        f"RobustBench's leaderboards hold robust accuracies under {ATTACK}": record.attack.name
        != ATTACK,
        f"RobustBench evaluates {table.n_examples} images, not {record.data.n}": (
            record.data.n > table.n_examples
        ),
        (
            "whether it was trained on additional data is not known; tell it with --about FILE: "
            f'[models."{visible(record.model.name)}"] additional_data = true or false'
        ): about.paper(record.model.name).additional_data is None and not is_packaged(record),
    }
    return next((reason for reason, holds in misfits.items() if holds), "")


def _first(record: EvaluationRecord) -> tuple[object, ...]:
    """Return what puts the records of a model in order, the one to take first."""
    robust = record.measure("robust_acc")
    return record.data.name, -record.data.n, robust.value if robust else 0.0, record.run.hash


def _norm(record: EvaluationRecord) -> str:
    return record.threat_model.norm if record.threat_model else ""


def _footnote(record: EvaluationRecord, robust: Estimate, wanted: int) -> str:
    """Return what a reader of the number must know, "" where it is RobustBench's own kind."""
    if record.data.n == wanted:
        return ""
    low, high = _percent(robust.low), _percent(robust.high)
    return f"On {record.data.n} of {wanted} test images: 95% interval from {low}% to {high}%."


def _percent(share: float) -> str:
    return f"{100 * share:.2f}"


def _text(text: str) -> str:
    return html.escape(visible(text))
