"""How a finished evaluation is shown: a table that a person reads, or the record itself."""

import math
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from clbench.cli.render.console import PlainConsole
from clbench.cli.render.tables import show_json
from clbench.evaluation.evidence import Evidence
from clbench.evaluation.parts import finished_parts, progress_of
from clbench.evaluation.verdicts import BY_CLEAN, BY_NOTHING
from clbench.leaderboard.table import CSV_NAME
from clbench.schema.corruptions import of_corruption
from clbench.schema.dataclass_io import to_json, to_table
from clbench.schema.estimate import Estimate
from clbench.schema.flags import meaning
from clbench.schema.records import (
    CKA_COLUMNS,
    LINEAR_PROBE_COLUMNS,
    NO_LAYER,
    PROBE_SCORES,
    EvaluationRecord,
    External,
    left_after,
)
from clbench.schema.shard import Shard, named
from clbench.schema.text import visible

if TYPE_CHECKING:
    from clbench.evaluation.evaluation import Evaluation

_BAR_WIDTH = 24

_FULL_WIDTH = 76
"""Terminals of fewer columns get neither bars nor room between columns."""


def show_evaluation(evaluation: "Evaluation", *, as_json: bool) -> None:
    """Print the result of an evaluation to stdout."""
    if as_json:
        print(record_json(evaluation.record), end="")
        return
    show_record(evaluation.record)
    console = PlainConsole()
    for line in _footer(evaluation):
        console.print(line, style="dim", soft_wrap=True)


def show_shard(evaluation: "Evaluation", *, as_json: bool) -> None:
    """Print in one line what a shard found, and what else the run needs."""
    record, shard, paths = evaluation.record, evaluation.shard, evaluation.paths
    assert shard is not None, "it is one"
    assert paths is not None, "the command line always writes"
    done = finished_parts(paths.progress, shard.of)
    missing = [one for k in range(shard.of) if (one := Shard(k, shard.of)) not in done]
    robust, out = record.measure("robust_acc"), paths.progress.parents[1]
    if as_json:
        found = {
            "shard": str(shard),
            "n_examples": record.data.n,
            "missing": list(map(str, missing)),
        }
        found |= {"robust_acc": robust.value if robust else None, "flags": to_table(record.flags)}
        show_json({**found, "progress": str(progress_of(paths.progress, shard))}, lines=True)
        return
    rest = (
        f"{len(missing)} of {shard.of} are to do ({named(missing)}), then"
        if missing
        else ("all are done:")
    )
    PlainConsole().print(
        f"shard {shard} of {visible(record.model.name)} is done, {record.data.n} examples, "
        f"{percent(robust)} of them robust; {rest} clbench merge {visible(str(out))}",
        soft_wrap=True,
    )


def record_json(record: EvaluationRecord) -> str:
    """Return a record as its file has it."""
    return to_json(record, checksum=record.is_bound).decode()


def show_record(record: EvaluationRecord) -> None:
    """Print what a record says: its numbers with their intervals, and what its flags mean."""
    console = PlainConsole()
    console.print("\n", _title(record), "\n", sep="", soft_wrap=True)
    console.print(_accuracies(record, console))
    if any(measure.name in CKA_COLUMNS for measure in record.measures):
        console.print("\nCKA of clean and adversarial images, 1 where the network sees them alike")
        console.print(_similarities(record, console))
    if any(measure.name in LINEAR_PROBE_COLUMNS for measure in record.measures):
        console.print("\nlinear classifiers of the features of each stage")
        for part in _linear_probes(record):
            console.print(part)
    console.print()
    attack = record.attack.name if record.attack else ""
    for flag in record.flags:
        line = Text.assemble((f"flag {visible(flag.name)}", "yellow"), f": {meaning(flag, attack)}")
        console.print(line)
    if record.external is not None:
        console.print(_external(record.external), soft_wrap=True)
    if record.unreliable:
        console.print("the robust accuracy is unreliable", style="yellow")


def _external(found: External) -> Text:
    known = Text(f"best known robust accuracy {found.robust_acc:.2%}".replace("%", " %"), "bold")
    checked = "its images were checked" if found.certificate_sha256 else "no certificate"
    return Text.assemble(known, f", by {visible(found.source)} ({checked})")


def show_proof(record: EvaluationRecord, evidence: Evidence | None) -> None:
    """Print in a line how much of what is broken is proved by its images."""
    if evidence is None or record.attack is None:
        return
    broken = int(sum(by not in (BY_NOTHING, BY_CLEAN) for by in evidence.broken_by.tolist()))
    kept = 0 if evidence.certificates is None else len(evidence.certificates)
    remedy = "clbench verify checks them" if kept else "the same clbench eval with --evidence full"
    line = f"images that broke examples, kept as proof: {kept} of {broken}; {remedy}"
    PlainConsole().print(line + ("" if kept else " keeps them"), soft_wrap=True)


def _title(record: EvaluationRecord) -> Text:
    title = f" on {record.data.n} examples of {record.data.name}"
    threat, attack = record.threat_model, record.attack
    if threat is not None and attack is not None:
        title += f" under {attack.name} ({attack.backend}), {threat.norm} {threat.eps}"
    return Text.assemble((visible(record.model.name), "bold"), visible(title))


def _accuracies(record: EvaluationRecord, console: PlainConsole) -> Table:
    table = _table("95 % interval", console)
    cells = partial(_cells, console, percent=True)
    table.add_row("clean accuracy", *cells(record.measure("clean_acc")))
    components = record.components
    for attack in components if len(components) > 1 else ():
        left = cells(record.measure(left_after(attack)))
        table.add_row(f"  left after {visible(attack)}", *left, style="dim")
    if record.attack is None:
        for measure in record.measures[1:]:
            is_each = measure.name.startswith(of_corruption(""))
            name = measure.name.removeprefix(of_corruption("")).replace("_", " ")
            shown = _cells(console, measure, percent=True)
            table.add_row(f"  {name}" if is_each else name, *shown, style="" if is_each else "bold")
        return table
    label = "robust accuracy, at most" if record.is_upper_bound else "robust accuracy"
    table.add_row(label, *cells(record.measure("robust_acc")), style="bold")
    return table


def _similarities(record: EvaluationRecord, console: PlainConsole) -> Table:
    table = _table("", console)
    for column in CKA_COLUMNS:
        measure = record.measure(column)
        if measure and measure.reason != NO_LAYER:
            cells = _cells(console, measure, percent=False)
            table.add_row(f"  {column.removeprefix('cka_')}", *cells)
    return table


def _linear_probes(record: EvaluationRecord) -> Iterator[Table | str]:
    """Yield the accuracies of each stage's probe, a column for each score, and why some are not."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column(min_width=20)
    for images in PROBE_SCORES.values():
        table.add_column(images, justify="right")
    undefined: dict[str, dict[str, None]] = {}
    for stage in dict.fromkeys(column.rpartition("_")[0] for column in LINEAR_PROBE_COLUMNS):
        found = {score: record.measure(f"{stage}_{score}") for score in PROBE_SCORES}
        name = stage.removeprefix("probe_")
        missing = {score: one for score, one in found.items() if not _is_defined(one)}
        if len(missing) < len(found):
            table.add_row(f"  {name}", *map(percent, found.values()))
        for score, one in missing.items():
            place = name if len(missing) == len(found) else f"{name} ({PROBE_SCORES[score]})"
            undefined.setdefault(one.reason if one else "not measured", {})[place] = None
    if table.rows:
        yield table
    for reason, places in undefined.items():
        yield f"  undefined at {', '.join(places)}: {reason}"


def _is_defined(measure: Estimate | None) -> bool:
    return measure is not None and not math.isnan(measure.value)


def _table(interval: str, console: PlainConsole) -> Table:
    """Return an empty table, whose columns are as wide as usual where there is room."""
    room = console.width >= _FULL_WIDTH
    table = Table(box=None, pad_edge=False, header_style="dim", show_header=bool(interval))
    table.add_column(min_width=20 if room else len("robust accuracy"))
    table.add_column(justify="right", min_width=8 if room else None)
    table.add_column(interval, justify="right", min_width=18 if room else None)
    table.add_column(overflow="fold")
    return table


def _cells(
    console: PlainConsole, measure: Estimate | None, *, percent: bool
) -> tuple[str | Text, ...]:
    if measure is None or math.isnan(measure.value):
        return ("undefined", "", visible(measure.reason) if measure else "")
    scale, digits, unit = (100, 2, " %") if percent else (1, 3, "")
    interval = f"{measure.low * scale:.{digits}f} to {measure.high * scale:.{digits}f}{unit}"
    cells = (
        f"{measure.value * scale:.{digits}f}{unit}",
        "" if math.isnan(measure.low) else interval,
    )
    width = _BAR_WIDTH if console.width >= _FULL_WIDTH else 0
    return (*cells, Text(console.bar(measure.value, width), no_wrap=True, overflow="crop"))


def percent(measure: Estimate | None) -> str:
    """Return a share as people read it."""
    if measure is None or math.isnan(measure.value):
        return "undefined"
    return f"{measure.value:.2%}".replace("%", " %")


def _footer(evaluation: "Evaluation") -> Iterator[str]:
    record, paths = evaluation.record, evaluation.paths
    if evaluation.reused:
        yield f"this run was finished on {record.created}; --restart runs it again"
    else:
        yield (
            f"{record.wall_s:.0f} s on {record.device} in {record.precision}, seed {record.seed}"
        )
    if paths is not None:
        out = paths.progress.parents[1]
        yield f"record {paths.record}, leaderboard {out / CSV_NAME}"
