"""Findings as files: a table for machines, one for people, and both with where they are from."""

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

from matplotlib.figure import Figure

from clbench.analysis.claims import CLAIMS, SIMILARITY_AND_ROBUSTNESS, Claim
from clbench.analysis.figures.scatter import Point, scatter
from clbench.analysis.figures.style import FORMATS, draw
from clbench.analysis.findings import Finding, find
from clbench.analysis.inputs import END, FindingInputs, gather, recorded_models
from clbench.analysis.result import Analysis
from clbench.analysis.run import compare_models
from clbench.analysis.store import FIGURES
from clbench.analysis.tables import Cell, to_csv
from clbench.schema.files import make_folder, write_atomically
from clbench.schema.progress import OnProgress, not_shown
from clbench.schema.protocol import resolve
from clbench.schema.provenance import commit, utc_now, versions
from clbench.schema.text import visible

SCHEMA_VERSION = 1

FINDING_COLUMNS = (
    *("claim", "scheme", "measured", "effect", "low", "high", "n", "p_value", "verdict"),
    *("figure", "note", "statement", "source"),
)

_EXPLANATION = """\
A claim holds where the 95 % interval of its effect lies on the claimed side of 0, does not hold
where it lies on the other side, and is undecided where it holds 0. Similarities have intervals
by jackknife over groups of images: they are about other images for these networks, not about other
trainings. Paired: a group is left out of both networks at a time. That of a correlation is from
models drawn with replacement. No row is corrected for how many rows there are."""


class Report(NamedTuple):
    """What was found, and lines that say what from."""

    findings: list[Finding]
    about: list[str]


def write_findings(
    records: Path,
    compared: Analysis | Path | None = None,
    out: Path | None = None,
    *,
    dataset: str = "",
    trained_at: Mapping[str, Fraction] | None = None,
) -> Report:
    """Hold the claims against records and a comparison, and write what is found.

    Written are ``findings.csv``, ``findings.md`` and ``findings.json``, and a figure of robust
    accuracy against similarity.

    Args:
        records: A folder that ``clbench eval`` wrote.
        compared: What ``compare_models`` returned, or the folder that it wrote; without it, only
            similarities in records count.
        out: Where to write; None writes nothing.
        dataset: Which records count where several data sets are there; by default, and without a
            comparison, that of the most models.
        trained_at: The eps of the training of models, where it is known.

    Raises:
        RecordError: There are no records, or a file cannot be read.
        UnknownNameError: ``trained_at`` has a model that is not there.
        StorageError: The folder cannot be written.
    """
    inputs = gather(records, compared, dataset=dataset, trained_at=trained_at)
    if out is None:
        return Report(find(inputs), _about(inputs))
    make_folder(out)
    files = _scatter_files(inputs)
    found = find(inputs, _places(inputs, out) | {Path(name).stem: name for name in files})
    files |= _files(found, inputs)
    for name, content in files.items():
        write_atomically(out / name, content)
    return Report(found, _about(inputs))


def compare_recorded(
    records: Path,
    *,
    protocol: str | None = None,
    data: Path | None = None,
    data_dir: Path | None = None,
    out: Path | None = None,
    restart: bool = False,
    on_progress: OnProgress = not_shown,
) -> Analysis:
    """Do what ``compare_models`` does, for the models of the records of the data set.

    Raises:
        RecordError: There are no such records.
        ClbenchError: A model or the data cannot be used.
    """
    dataset = resolve(protocol, own_data=data is not None).dataset
    return compare_models(
        recorded_models(records, dataset),
        protocol=protocol,
        data=data,
        data_dir=data_dir,
        out=out,
        restart=restart,
        on_progress=on_progress,
    )


def _files(found: Sequence[Finding], inputs: FindingInputs) -> dict[str, bytes]:
    """Return the findings as files, by name; all but the time in the JSON is reproducible."""
    return {
        "findings.csv": to_csv([_row(one) for one in found], FINDING_COLUMNS),
        "findings.md": _markdown(found, inputs).encode(),
        "findings.json": _json(found, inputs).encode(),
    }


def _row(finding: Finding) -> dict[str, Cell]:
    claim = CLAIMS[finding.claim]
    return finding._asdict() | {"statement": claim.statement, "source": claim.source}


def _json(found: Sequence[Finding], inputs: FindingInputs) -> str:
    content = {
        "schema_version": SCHEMA_VERSION,
        "findings": [{name: _finite(value) for name, value in _row(one).items()} for one in found],
        "models": [asdict(model) for model in inputs.models],
        "records": {name: record.run.hash for name, record in inputs.records.items()},
        "probe": _probe(inputs),
        "trained_at": {name: str(eps) for name, eps in inputs.trained_at.items()},
        "versions": versions(),
        "commit": commit(),
        "created": utc_now(),
    }
    return f"{json.dumps(content, indent=1, allow_nan=False)}\n"


def _probe(inputs: FindingInputs) -> dict[str, object] | None:
    if inputs.analysis is None:
        return None
    described = asdict(inputs.analysis.record)
    names = ("data", "threat_model", "attack", "estimator", "seed", "commit", "created", "files")
    return {name: described[name] for name in names}


def _finite(value: Cell) -> Cell | None:
    return None if isinstance(value, float) and math.isnan(value) else value


def _markdown(found: Sequence[Finding], inputs: FindingInputs) -> str:
    parts = ["# Findings", _EXPLANATION, "\n".join(_about(inputs))]
    for claim in CLAIMS.values():
        rows = [one for one in found if one.claim == claim.name]
        parts.append(_section(claim, rows))
    return "\n\n".join(filter(None, parts)) + "\n"


def _about(inputs: FindingInputs) -> list[str]:
    lines = []
    if inputs.analysis:
        of = inputs.analysis.record
        lines.append(
            f"Representations: {of.data.n} images of {of.data.name}, {of.attack.name} in "
            f"{of.threat_model.norm} {of.threat_model.eps}, {inputs.measure.label} {of.estimator}."
        )
    if inputs.records:
        record = next(iter(inputs.records.values()))
        lines.append(
            f"Robust accuracy: {len(inputs.records)} record{'s' * (len(inputs.records) != 1)} of "
            f"{record.data.n} images of "
            f"{record.data.name}, {record.setting}."
        )
    return lines


def _section(claim: Claim, rows: Sequence[Finding]) -> str:
    head = f"## {claim.name}\n\n{claim.statement}\nSource: {claim.source}."
    figure = f"\n\nFigure: [{rows[0].figure}]({rows[0].figure})" if rows[0].figure else ""
    table = [
        "| scheme | measured | effect | 95 % interval | n | verdict | note |",
        "|---" * 7 + "|",
    ]
    for one in rows:
        effect = "" if math.isnan(one.effect) else f"{one.effect:+.3f}"
        interval = "" if math.isnan(one.low) else f"{one.low:+.3f} to {one.high:+.3f}"
        chance = "" if math.isnan(one.p_value) else f"permutation p = {one.p_value:.2g}"
        note = "; ".join(filter(None, (chance, one.note)))
        cells = (one.scheme, one.measured, effect, interval, str(one.n), one.verdict, note)
        table.append(f"| {' | '.join(map(_cell, cells))} |")
    return f"{head}\n\n" + "\n".join(table) + figure


def _cell(text: str) -> str:
    """Return a text that ends no cell of a table of Markdown."""
    return visible(text).replace("|", "\\|")


def _places(inputs: FindingInputs, out: Path) -> dict[str, str]:
    """Return where the figures of the comparison are, seen from the folder of the findings."""
    if inputs.analysis is None or inputs.analysis.folder is None:
        return {}
    folder, files = inputs.analysis.folder, inputs.analysis.record.files
    return {
        Path(name).stem: Path(os.path.relpath(folder / name, out)).as_posix()
        for name in files
        if name.startswith(f"{FIGURES}/") and name.endswith(FORMATS[0])
    }


def _scatter_files(inputs: FindingInputs) -> dict[str, bytes]:
    if not inputs.measured:
        return {}
    figure = _scatter(inputs)
    return {f"{SIMILARITY_AND_ROBUSTNESS}.{form}": draw(figure, form) for form in reversed(FORMATS)}


def _scatter(inputs: FindingInputs) -> Figure:
    points = {
        model.name: Point(
            model.scenario or model.name,
            model.scheme or "other",
            inputs.similarity(model.name, END),
            inputs.robust_acc(model.name),
        )
        for model in inputs.models
        if model.name in inputs.measured
    }
    record = inputs.records[inputs.measured[0]]
    return scatter(
        {
            group: [points[name] for name in names]
            for group, names in inputs.groups.items()
            if names
        },
        title=f"{record.data.name}, {record.setting}",
        x_label=f"{inputs.measure.label} of adversarial and clean, last two layers",
        y_label="robust accuracy",
    )
