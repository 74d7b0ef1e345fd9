"""How a finished evaluation is shown: a table that a person reads, or the record itself."""

import math
from collections.abc import Iterator

from rich.console import Console
from rich.table import Table
from rich.text import Text

from clbench.evaluation.reliability import meaning
from clbench.evaluation.session import Evaluation
from clbench.leaderboard.table import CSV_NAME
from clbench.probes.layers import NO_LAYER
from clbench.probes.linear.score import LINEAR_PROBE_COLUMNS, SCORES
from clbench.schema.dataclass_io import to_json
from clbench.schema.estimate import Estimate
from clbench.schema.records import CKA_COLUMNS, EvaluationRecord, left_after

_BAR_WIDTH = 24


def show_evaluation(evaluation: Evaluation, *, as_json: bool) -> None:
    """Print the result of an evaluation to stdout."""
    record, console = evaluation.record, Console(highlight=False)
    if as_json:
        print(to_json(record, checksum=record.is_bound).decode(), end="")
        return
    console.print(f"\n{_title(record)}\n", soft_wrap=True)
    console.print(_accuracies(record))
    if any(measure.name in CKA_COLUMNS for measure in record.measures):
        console.print("\nCKA of clean and adversarial images, 1 where the network sees them alike")
        console.print(_similarities(record))
    if any(measure.name in LINEAR_PROBE_COLUMNS for measure in record.measures):
        console.print("\nlinear classifiers of the features of each stage")
        console.print(_linear_probes(record))
    console.print()
    attack = record.attack.name if record.attack else ""
    for flag in record.flags:
        console.print(f"[yellow]flag {flag}[/yellow]: {meaning(flag, attack)}")
    if record.unreliable:
        console.print("[yellow]the robust accuracy is unreliable[/yellow]")
    for line in _footer(evaluation):
        console.print(line, style="dim", soft_wrap=True)


def _title(record: EvaluationRecord) -> str:
    title = f"[bold]{record.model.name}[/bold] on {record.data.n} examples of {record.data.name}"
    threat, attack = record.threat_model, record.attack
    if threat is None or attack is None:
        return title
    return f"{title} under {attack.name} ({attack.backend}), {threat.norm} {threat.eps}"


def _accuracies(record: EvaluationRecord) -> Table:
    table = _table("95 % interval")
    table.add_row("clean accuracy", *_cells(record.measure("clean_acc"), percent=True))
    components = record.components
    for attack in components if len(components) > 1 else ():
        cells = _cells(record.measure(left_after(attack)), percent=True)
        table.add_row(f"  left after {attack}", *cells, style="dim")
    cells = _cells(record.measure("robust_acc"), percent=True)
    table.add_row("robust accuracy", *cells, style="bold")
    return table


def _similarities(record: EvaluationRecord) -> Table:
    table = _table("")
    for column in CKA_COLUMNS:
        measure = record.measure(column)
        if measure and measure.reason != NO_LAYER:
            table.add_row(f"  {column.removeprefix('cka_')}", *_cells(measure, percent=False))
    return table


def _linear_probes(record: EvaluationRecord) -> Table:
    """Return the accuracies of each stage's probe, one column for each score."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column(min_width=20)
    for images in SCORES.values():
        table.add_column(images, justify="right")
    for stage in dict.fromkeys(column.rpartition("_")[0] for column in LINEAR_PROBE_COLUMNS):
        found = [record.measure(f"{stage}_{score}") for score in SCORES]
        cells = [_cells(measure, percent=True)[0] for measure in found]
        table.add_row(f"  {stage.removeprefix('probe_')}", *cells)
    return table


def _table(interval: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", show_header=bool(interval))
    table.add_column(min_width=20)
    table.add_column(justify="right", min_width=8)
    table.add_column(interval, justify="right", min_width=18)
    table.add_column(overflow="fold")
    return table


def _cells(measure: Estimate | None, *, percent: bool) -> tuple[str, str, str | Text]:
    if measure is None or math.isnan(measure.value):
        return ("undefined", "", measure.reason if measure else "")
    scale, digits, unit = (100, 2, " %") if percent else (1, 3, "")
    interval = f"{measure.low * scale:.{digits}f} to {measure.high * scale:.{digits}f}{unit}"
    length = round(min(max(measure.value, 0.0), 1.0) * _BAR_WIDTH)
    bar = Text("━" * length, no_wrap=True, overflow="crop")
    return (
        f"{measure.value * scale:.{digits}f}{unit}",
        "" if math.isnan(measure.low) else interval,
        bar,
    )


def _footer(evaluation: Evaluation) -> Iterator[str]:
    record, paths = evaluation.record, evaluation.paths
    if evaluation.reused:
        yield f"this run was finished on {record.created}; --restart runs it again"
    else:
        yield f"{record.wall_s:.0f} s on {record.device}, seed {record.seed}"
    if paths is not None:
        out = paths.progress.parents[1]
        yield f"record {paths.record}, leaderboard {out / CSV_NAME}"
