"""``clbench probe``: how alike models see the same images, and what that says of the paper."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, no_type_check

import typer

from clbench.cli import options as opt
from clbench.cli import options_of_preprocessing as seen
from clbench.cli import options_of_probe as own
from clbench.cli.command import Command, Group
from clbench.cli.run import interruptible, quietly
from clbench.cli.streams import code_of_others

if TYPE_CHECKING:
    from fractions import Fraction

EXAMPLES = """\b
Examples:
  clbench probe --model simclr_st --model simclr_at
  clbench probe --model simclr_st --model simclr_at --linear-probes
  clbench probe --model simclr_at --layer 'layer*.conv2'
  clbench probe --model net.py:make --data images.npz --eps 2/255
  clbench probe --model simclr_at --model mine=net.py:make --model supcon_at
  clbench probe findings --records results --out findings
"""

probe = typer.Typer(
    cls=Group,
    help="Compare representations of models: CKA matrices, figures, and the paper's claims.",
)


@probe.callback(invoke_without_command=True, epilog=EXAMPLES)
@no_type_check  # typer gives the base class of the context that it lets a command ask for
def probe_models(
    context: typer.Context,
    models: own.Models = None,
    protocol: opt.Protocol = None,
    data: opt.Data = None,
    data_dir: opt.DataDir = None,
    download: opt.Download = False,
    mean: seen.Mean = None,
    std: seen.Std = None,
    resize: seen.Resize = None,
    crop: seen.Crop = None,
    interpolation: seen.Interpolation = None,
    output: seen.Outputs = None,
    norm: opt.Norm = None,
    eps: opt.Eps = None,
    n_examples: opt.NExamples = None,
    comparisons: own.Comparisons = None,
    kinds: own.OldComparisons = None,
    common: own.Common = "",
    layers: own.Layers = None,
    taps: own.OldLayers = None,
    measure: own.Measure = "cka",
    estimator: own.Estimator = "",
    permutations: own.Permutations = None,
    linear_probes: opt.LinearProbes = False,
    layer_probes: opt.OldLinearProbes = False,
    train_data: opt.TrainData = None,
    pooling: own.Pooling = "pooled",
    extent: own.OldPooling = "",
    attack_steps: own.AttackSteps = 40,
    device: opt.Device = "auto",
    seed: opt.Seed = None,
    out: own.ProbeOut = Path("probe"),
    restart: own.ProbeRestart = False,
    figures: own.Figures = True,
    as_json: opt.Json = False,
    quiet: opt.Quiet = False,
) -> None:
    """Compare how models see clean and adversarial images, layer by layer, with linear CKA."""
    given: dict[str, Any] = {**locals()}
    if context.invoked_subcommand:
        return
    import clbench
    from clbench.cli.render.probe import show_comparison
    from clbench.cli.render.probe_progress import probe_progress

    for name in ("context", "kinds", "taps", "layer_probes", "extent", "as_json", "quiet"):
        del given[name]
    given |= {
        "models": models or (),
        "output": output or (),
        "comparisons": [*(comparisons or ()), *(kinds or ())],
        "layers": [*(layers or ()), *(taps or ())],
        "linear_probes": linear_probes or layer_probes,
        "train_data": train_data or (),
        "pooling": extent or pooling,
    }
    with interruptible(f"interrupted; {out}/probe.json is as it was"), quietly(quiet=quiet):
        with probe_progress(shown=not (quiet or as_json)) as on_progress, code_of_others():
            analysis = clbench.probe(**given, on_progress=on_progress)
        if as_json:
            typer.echo((out / "probe.json").read_text(encoding="utf-8"), nl=False)
        elif not quiet:
            show_comparison(analysis, out)


@probe.command(cls=Command)
def findings(
    records: own.Records,
    out: own.FindingsOut,
    compared: own.Compared = None,
    compare: own.Compare = False,
    restart: own.ProbeRestart = False,
    protocol: opt.Protocol = None,
    data: opt.Data = None,
    data_dir: opt.DataDir = None,
    trained_at: own.TrainedAt = None,
    as_json: opt.Json = False,
    quiet: opt.Quiet = False,
) -> None:
    """Tell which of the paper's claims hold for evaluated models."""
    from clbench.analysis.report import compare_recorded, write_findings
    from clbench.cli.render.probe import show_findings
    from clbench.cli.render.probe_progress import probe_progress
    from clbench.schema.protocol import find_protocol

    known_eps = _trained_at(trained_at or [])
    analysis = None
    if compare:
        with probe_progress(shown=not (quiet or as_json)) as on_progress, code_of_others():
            analysis = compare_recorded(
                records,
                protocol=protocol,
                data=data,
                data_dir=data_dir,
                out=out,
                restart=restart,
                on_progress=on_progress,
            )
    found = write_findings(
        records,
        analysis or compared,
        out,
        dataset=find_protocol(protocol).dataset if protocol else "",
        trained_at=known_eps,
    )
    if as_json:
        typer.echo((out / "findings.json").read_text(encoding="utf-8"), nl=False)
    elif not quiet:
        show_findings(found, out)


def _trained_at(pairs: list[str]) -> "dict[str, Fraction]":
    from clbench.schema.errors import BadValueError
    from clbench.schema.threat_model import parse_eps

    found = {}
    for pair in pairs:
        name, sign, eps = pair.rpartition("=")
        if not sign:
            raise BadValueError(f"--trained-at must read like simclr_at=8/255, got {pair!r}")
        found[name] = parse_eps(eps)
    return found
