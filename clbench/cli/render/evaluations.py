"""How evaluations of several models, or at several eps, are shown: a row each."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import combinations

from clbench.cli.render.evaluation import percent
from clbench.cli.render.tables import Cell, show_rows
from clbench.schema.records import EvaluationRecord
from clbench.schema.threat_model import parse_eps


def show_records(records: Sequence[EvaluationRecord]) -> None:
    """Print one table of finished evaluations, in the order in which they were asked for."""
    show_rows("", [_row(record) for record in records], as_json=False)


def rising(records: Sequence[EvaluationRecord]) -> Iterator[str]:
    """Yield a note wherever a model is more robust against an attacker who may do more.

    What breaks an image at a small eps breaks it at every larger one, so the attack was too weak at
    the larger: the smaller robust accuracy holds there too.
    """
    for one, other in combinations(records, 2):
        if not _are_one_curve(one, other):
            continue
        small, large = sorted((one, other), key=_eps)
        before, after = small.measure("robust_acc"), large.measure("robust_acc")
        if before and after and _eps(small) < _eps(large) and after.value > before.value:
            yield (
                f"{large.model.name} is {percent(after)} robust at {large.setting}, "
                f"but {percent(before)} at the smaller eps {_eps_text(small)}: the attack is too "
                f"weak at {_eps_text(large)}, where at most {percent(before)} are robust"
            )


def _are_one_curve(one: EvaluationRecord, other: EvaluationRecord) -> bool:
    same_images = one.group[:3] == other.group[:3]
    same_network = (one.model.name, one.model.identity_sha256) == (
        other.model.name,
        other.model.identity_sha256,
    )
    return same_images and same_network


def _row(record: EvaluationRecord) -> dict[str, Cell]:
    robust = record.measure("robust_acc")
    interval = "" if robust is None else f"{robust.low:.1%} to {robust.high:.1%}"
    return {
        "model": record.model.name,
        "eps": f"{record.threat_model.norm} {record.threat_model.eps}"
        if record.threat_model
        else "",
        "examples": record.data.n,
        "clean": percent(record.measure("clean_acc")),
        "robust": f"{'at most ' if record.is_upper_bound else ''}{percent(robust)}",
        "95 % interval": interval.replace("%", " %"),
        "flags": " ".join(record.flag_names),
    }


def _eps(record: EvaluationRecord) -> Fraction:
    return parse_eps(record.threat_model.eps) if record.threat_model else Fraction(0)


def _eps_text(record: EvaluationRecord) -> str:
    return record.threat_model.eps if record.threat_model else ""
