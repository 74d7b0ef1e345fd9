"""Records as entries of RobustBench's leaderboards: ``DATASET/NORM/MODEL.json``."""

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from clbench.leaderboard.export.about import About, Paper
from clbench.leaderboard.export.interface import Written, is_packaged, known
from clbench.leaderboard.export.model_info import ModelInfo, Value
from clbench.schema.corruptions import ACCURACY, CORRUPTED, RELATIVE
from clbench.schema.errors import BadValueError
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
    lowest robust accuracy. Accuracies on ImageNet-3DCC stand in the file of those on ImageNet-C.
    """
    entries: dict[str, dict[str, Value]] = {}
    left_out = []
    for record in sorted(records, key=_first):
        reason, dataset, threat_model = _why_not(record, about), *_place(record)
        name = f"{dataset}/{threat_model}/{safe_name(record.model.name)}.json"
        found: dict[str, Value] = {}
        try:
            found = {} if reason else _entry(record, about.paper(record.model.name))
        except BadValueError as error:  # what no run measures, such as a share above 1
            reason = str(error)
        if not reason and _is_3d(record) and name not in entries:
            reason = "RobustBench has accuracies on imagenet-3dcc beside those on imagenet-c"
        elif not reason and not found.keys() - entries.get(name, {}).keys():
            reason = f"{name} is of another of its records, on as many images or more"
        if reason:
            left_out.append(f"{visible(record.model.name)} ({visible(record.setting)}): {reason}")
        else:
            entries[name] = found | entries.get(name, {})
    files = {name: ModelInfo(entry).to_bytes() for name, entry in entries.items()}
    return Written(files, tuple(left_out))


def _entry(record: EvaluationRecord, paper: Paper) -> dict[str, Value]:
    """Return the fields of a record that has a place in RobustBench's leaderboards.

    Its page shows texts as HTML, so they are written as such.

    Raises:
        BadValueError: A number of it is none that a file there can hold.
    """
    dataset, threat_model = _place(record)
    clean = known(record, "clean_acc")
    assert clean is not None, "it was looked at"
    table = TABLES.get((dataset, threat_model))
    footnote = _footnote(
        record, table.n_examples if table else CORRUPTED[record.data.name].n_examples
    )
    entry: dict[str, Value] = {
        "link": paper.link,
        "name": _text(paper.name or record.model.name),
        "authors": _text(paper.authors),
        "additional_data": bool(paper.additional_data),
        "number_forward_passes": paper.number_forward_passes,
        "dataset": dataset,
        "venue": _text(paper.venue),
        "architecture": _text(paper.architecture or record.model.backbone),
        "eps": table.eps if table else None,
        "clean_acc": _percent(clean.value),
        "reported": paper.reported,
        **{field: _percent(found.value) for field, found in _numbers(record).items()},
        **({"external": _percent(record.external.robust_acc)} if record.external else {}),
        **({"footnote": footnote} if footnote else {}),
        **({"unreliable": record.unreliable} if table else {}),
    }
    return dict(ModelInfo(entry).fields)


def _numbers(record: EvaluationRecord) -> dict[str, Estimate]:
    """Return what a record measured of robustness, the number that ranks it first, by field."""
    names = {"robust_acc": "autoattack_acc"}
    for suffix in ("", "_3d"):
        names |= {f"{one}{suffix}": f"{one}{suffix}" for one in (ACCURACY, RELATIVE)}
    return {field: one for name, field in names.items() if (one := known(record, name))}


def _place(record: EvaluationRecord) -> tuple[str, str]:
    """Return the data set and threat model of a record, as its leaderboards have them."""
    if record.data.name in CORRUPTED and record.attack is None:
        return CORRUPTED[record.data.name].dataset, "corruptions"
    return record.data.name, record.threat_model.norm if record.threat_model else ""


def _is_3d(record: EvaluationRecord) -> bool:
    return record.measure(f"{ACCURACY}_3d") is not None


def _why_not(record: EvaluationRecord, about: About) -> str:
    """Return why a record has no place in its leaderboards, "" where it has one."""
    dataset, _ = _place(record)
    is_corrupted = record.data.name in CORRUPTED and bool(_numbers(record))
    if record.threat_model is None and not is_corrupted:
        return "nothing was attacked"
    if dataset not in _DATASETS:
        return f"RobustBench has no data set {visible(dataset)}, but {', '.join(_DATASETS)}"
    if record.threat_model is not None and (other := _other_table(record)):
        return other
    if not _numbers(record) or known(record, "clean_acc") is None:
        return "an accuracy of it is undefined"
    if about.paper(record.model.name).additional_data is None and not is_packaged(record):
        return (
            "whether it was trained on additional data is not known; tell it with --about FILE: "
            f'[models."{visible(record.model.name)}"] additional_data = true or false'
        )
    return ""


def _other_table(record: EvaluationRecord) -> str:
    """Return why a record under attack fits none of its tables, "" where it fits one."""
    assert record.threat_model is not None, "it was attacked"
    dataset, norm = _place(record)
    if norm not in _NORMS:
        return f"RobustBench has no name for {norm}; its threat models are {', '.join(_NORMS)}"
    table = TABLES.get((dataset, norm))
    if table is None:
        return f"RobustBench has no leaderboard of {dataset} in {norm}"
    if parse_eps(record.threat_model.eps) != parse_eps(table.eps):
        return f"RobustBench's leaderboard of {dataset} in {norm} is at eps {table.eps}"
    if record.attack is None or record.attack.name != ATTACK:
        return f"RobustBench's leaderboards hold robust accuracies under {ATTACK}"
    if record.data.n > table.n_examples:
        return f"RobustBench evaluates {table.n_examples} images, not {record.data.n}"
    return ""


def _first(record: EvaluationRecord) -> tuple[object, ...]:
    """Return what puts the records of a model in order, the one to take first."""
    value = next((one.value for one in _numbers(record).values()), 0.0)
    return _is_3d(record), record.data.name, -record.data.n, value, record.run.hash


def _footnote(record: EvaluationRecord, wanted: int) -> str:
    """Return what a reader of the number must know, "" where it is RobustBench's own kind."""
    if record.data.n == wanted:
        return ""
    found = next(iter(_numbers(record).values()))
    low, high = _percent(found.low), _percent(found.high)
    return f"On {record.data.n} of {wanted} test images: 95% interval from {low}% to {high}%."


def _percent(share: float) -> str:
    return f"{100 * share:.2f}"


def _text(text: str) -> str:
    return html.escape(visible(text))
