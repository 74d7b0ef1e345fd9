"""Which dialect a checkpoint is in, and by what evidence that is said."""

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from torch import Tensor

from clbench.models.checkpoints.dialect import Dialect
from clbench.models.checkpoints.dialects import DIALECTS
from clbench.models.checkpoints.read import Checkpoint
from clbench.models.checkpoints.rename import without_wrappers
from clbench.models.checkpoints.stand_ins import StandIn
from clbench.models.checkpoints.unwrap import state_dicts
from clbench.schema.errors import WeightsError
from clbench.schema.names import look_up

_NAMED = 3
"""Names of weights that are shown at most, of a file that nobody knows."""


_ELSEWHERE = {
    r"layer\.\d\.block\.\d+\.conv_\d\.weight": (
        "these are the names of RobustBench's DMWideResNet, whose activation and normalisation no "
        "tensor tells; evaluate it as --model robustbench:NAME"
    ),
    r"(vision_model|visual)\.": (
        "these are the names of a CLIP model, which has no classifier; build one of its image "
        "encoder and evaluate it as --model FILE.py:FACTORY"
    ),
    r"vit\.encoder\.layer\.0\.": (
        "these are the names of a ViT of Hugging Face's transformers; evaluate it as "
        "--model FILE.py:FACTORY with --weights"
    ),
}
"""Networks that have no row, and what to do with them."""


class Recognised(NamedTuple):
    """A checkpoint in a dialect.

    ``table`` is where its weights are, "" the file itself; ``weights`` are they, with torch's
    wrappers out of their names; ``others`` are further tables with as many weights.
    """

    dialect: Dialect
    table: str
    weights: Mapping[str, Tensor]
    evidence: str
    others: tuple[str, ...] = ()


def recognise(found: Checkpoint, dialect: str | None = None) -> Recognised:
    """Return the dialect of a checkpoint: the one that was asked for, else the only one it can be.

    Raises:
        UnknownNameError: There is no such dialect.
        WeightsError: It holds no weights, or is in no dialect, several, or not the one asked for.
    """
    tables = _tables(found)
    if not tables:
        raise WeightsError(
            f"checkpoint {found.path} holds no tensors by name; "
            "save the network by torch.save(network.state_dict(), 'weights.pt')"
        )
    rows = [look_up(DIALECTS, dialect, "dialect")] if dialect else list(DIALECTS.values())
    known = [one for row in rows if (one := _in_dialect(row, found.content, tables))]
    if len(known) > 1:
        choices = "; ".join(f"{one.dialect.name} ({one.evidence})" for one in known)
        raise WeightsError(
            f"checkpoint {found.path} may be in several dialects: {choices}; "
            f"say which by --dialect {known[0].dialect.name}"
        )
    if not known:
        raise WeightsError(_unknown(found, tables, dialect))
    return known[0]


def trained_on(recognised: Recognised, content: object) -> str:
    """Return the data set that a checkpoint says it was trained on, "" where it does not."""
    for place in recognised.dialect.dataset_at:
        value: object = content
        for key in place.split("."):
            inside = value.attributes if isinstance(value, StandIn) else value
            # what stands for a configuration keeps its items in one of its attributes
            inner = inside.get("_content", inside) if isinstance(inside, Mapping) else {}
            value = inner.get(key) if isinstance(inner, Mapping) else None
        if isinstance(value, StandIn):
            value = value.attributes.get("_val")
        if isinstance(value, str):
            return value.lower().replace("-", "")
    return ""


def _tables(found: Checkpoint) -> dict[str, Mapping[str, Tensor]]:
    """Return every table of weights in a file, by where it is."""
    return {
        ".".join(one.keys): {k: v for k, v in one.weights.items() if isinstance(v, Tensor)}
        for one in state_dicts(found.content)
    }


def _in_dialect(
    row: Dialect, content: object, tables: Mapping[str, Mapping[str, Tensor]]
) -> Recognised | None:
    """Return a checkpoint as one dialect reads it; None where it is not in it."""
    beside = content if isinstance(content, Mapping) else {}
    if not all(key in beside for key in row.keys) or any(key in beside for key in row.without):
        return None
    there = [one for one in row.tables if one in tables]
    for table in there:
        weights, wrapped = without_wrappers(tables[table])
        if row.wrapped not in (None, wrapped):
            continue
        marks = [next(_matching(mark, weights), "") for mark in row.marks]
        if all(marks) and not any(next(_matching(one, weights), "") for one in row.absent):
            others = tuple(one for one in there if one != table and tables[one])
            return Recognised(row, table, weights, _evidence(row, table, marks), others)
    return None


def _matching(pattern: str, weights: Mapping[str, Tensor]) -> Iterator[str]:
    return (name for name in weights if re.match(pattern, name))


def _evidence(row: Dialect, table: str, marks: list[str]) -> str:
    names = " and ".join(f"'{mark}'" for mark in dict.fromkeys(marks))
    inside = f" in '{table}'" if table else ""
    beside = f", beside {' and '.join(map(repr, row.keys))}" if row.keys else ""
    wrapped = {None: "", True: ", behind 'module.'", False: ", without 'module.'"}[row.wrapped]
    return f"it has {names}{inside}{wrapped}{beside}"


def _unknown(
    found: Checkpoint, tables: Mapping[str, Mapping[str, Tensor]], dialect: str | None
) -> str:
    table, weights = max(tables.items(), key=lambda one: len(one[1]))
    names = ", ".join(map(repr, list(weights)[:_NAMED]))
    more = f" and {len(weights) - _NAMED} more" if len(weights) > _NAMED else ""
    inside = f" in {table!r}" if table else ""
    held = f"it has {names}{more}{inside}"
    if dialect:
        marks = ", ".join(DIALECTS[dialect].marks)
        return (
            f"checkpoint {found.path} is not in the dialect {dialect!r}, whose names are like "
            f"{marks}: {held}; leave --dialect out"
        )
    for pattern, what in _ELSEWHERE.items():
        if next(_matching(pattern, without_wrappers(weights)[0]), ""):
            return f"checkpoint {found.path} is in no dialect that clbench knows: {held}; {what}"
    return (
        f"checkpoint {found.path} is in no dialect that clbench knows: {held}; where these are the "
        "names of a network of timm, torchvision or clbench, name it with --arch"
    )
