"""``clbench probe``: how alike models see the same images, and what that says of the paper."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, no_type_check

import typer

if TYPE_CHECKING:
    from fractions import Fraction

EXIT_INTERRUPTED = 130

EXAMPLES = """\b
Examples:
  clbench probe --model simclr_st --model simclr_at
  clbench probe --model simclr_st --model simclr_at --linear-probes
  clbench probe --model simclr_at --layer 'layer*.conv2' --comparison clean-clean
  clbench probe --model net.py:make --data images.npz --eps 2/255
  clbench probe --model simclr_at --model simclr_at=run/weights.safetensors
  clbench probe findings --records results --compare --out findings
"""

probe = typer.Typer(
    help="Compare representations of models: CKA matrices, figures, and the paper's claims."
)


def _known_comparisons(incomplete: str) -> list[str]:
    from clbench.analysis.comparisons import COMPARISONS

    return [name for name in COMPARISONS if name.startswith(incomplete)]


@probe.callback(invoke_without_command=True, epilog=EXAMPLES)
@no_type_check  # typer gives the base class of the context that it lets a command ask for
def probe_models(
    context: typer.Context,
    models: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            help="As for clbench eval; NAME=WHAT names one, NAME=FILE.safetensors gives it other "
            "weights; once for every model.",
        ),
    ] = None,
    protocol: Annotated[
        str | None,
        typer.Option(help="Images and threat model (see clbench protocols), or digits-linf."),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="Your own images: .npz with x (n, h, w, c) and y (n)."),
    ] = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="Folder with the public CIFAR archives.")
    ] = None,
    download: Annotated[
        bool, typer.Option("--download", help="Fetch a public data set that is not there.")
    ] = False,
    norm: Annotated[str | None, typer.Option(help="Linf or L2; overrides the protocol.")] = None,
    eps: Annotated[
        str | None,
        typer.Option(help="Largest perturbation, like 8/255 or 0.5; overrides the protocol."),
    ] = None,
    n_examples: Annotated[
        int | None, typer.Option(help="The first N examples; overrides the protocol.")
    ] = None,
    comparisons: Annotated[
        list[str] | None,
        typer.Option(
            "--comparison",
            help="Which matrices, all by default; may be repeated: clean-clean, "
            "adversarial-adversarial, adversarial-clean, cross-clean, cross-adversarial, "
            "cross-common, cross-scheme, cross-scenario.",
            autocompletion=_known_comparisons,
        ),
    ] = None,
    kinds: Annotated[list[str] | None, typer.Option("--kind", hidden=True)] = None,
    common: Annotated[
        str,
        typer.Option(
            help="Model that the images common to all are made against; the first by default.",
            show_default=False,
        ),
    ] = "",
    layers: Annotated[
        list[str] | None,
        typer.Option(
            "--layer",
            help="Stage, module or pattern (layer*.conv2), or all; may be repeated; the ends of "
            "blocks, pooled features and logits by default.",
        ),
    ] = None,
    taps: Annotated[list[str] | None, typer.Option("--tap", hidden=True)] = None,
    estimator: Annotated[
        str,
        typer.Option(
            help="debiased-minibatch (the default), debiased or biased.", show_default=False
        ),
    ] = "",
    linear_probes: Annotated[
        bool,
        typer.Option(
            "--linear-probes", help="Also fit linear classifiers of the features at every layer."
        ),
    ] = False,
    layer_probes: Annotated[bool, typer.Option("--layer-probes", hidden=True)] = False,
    train_data: Annotated[
        list[Path] | None,
        typer.Option(
            help="Training images for --linear-probes: .npz or .parquet; may be repeated."
        ),
    ] = None,
    pooling: Annotated[
        str, typer.Option(help="Features of linear probes: pooled, or spatial.")
    ] = "pooled",
    extent: Annotated[str, typer.Option("--extent", hidden=True)] = "",
    attack_steps: Annotated[
        int, typer.Option(help="Steps of PGD, which makes the adversarial images.")
    ] = 40,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    seed: Annotated[
        int | None, typer.Option(help="Decides every random number; overrides the protocol.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for matrices, tables and figures.")] = Path(
        "probe"
    ),
    figures: Annotated[
        bool, typer.Option("--figures/--no-figures", help="Draw everything as PNG and SVG.")
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print the record for machines.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")] = False,
) -> None:
    """Compare how models see clean and adversarial images, layer by layer, with linear CKA."""
    if context.invoked_subcommand:
        return
    from clbench.analysis.run import compare_models
    from clbench.cli.render.probe import show_comparison
    from clbench.cli.render.probe_progress import probe_progress

    try:
        with probe_progress(shown=not (quiet or as_json)) as on_progress:
            analysis = compare_models(
                models or [],
                protocol=protocol,
                data=data,
                data_dir=data_dir,
                download=download,
                norm=norm,
                eps=eps,
                n_examples=n_examples,
                comparisons=[*(comparisons or ()), *(kinds or ())],
                common=common,
                layers=[*(layers or ()), *(taps or ())],
                estimator=estimator,
                linear_probes=linear_probes or layer_probes,
                train_data=train_data or [],
                pooling=extent or pooling,
                attack_steps=attack_steps,
                device=device,
                seed=seed,
                out=out,
                figures=figures,
                on_progress=on_progress,
            )
    except KeyboardInterrupt:
        typer.echo(f"clbench: interrupted; {out}/probe.json is as it was", err=True)
        raise typer.Exit(EXIT_INTERRUPTED) from None
    if as_json:
        typer.echo((out / "probe.json").read_text(encoding="utf-8"), nl=False)
    elif not quiet:
        show_comparison(analysis, out)


@probe.command()
def findings(
    records: Annotated[
        Path, typer.Option(help="Folder that clbench eval wrote.", show_default=False)
    ],
    out: Annotated[Path, typer.Option(help="Folder for the findings.", show_default=False)],
    compared: Annotated[
        Path | None,
        typer.Option(
            "--probe",
            help="Folder that clbench probe wrote; without it, only the CKA columns count.",
        ),
    ] = None,
    compare: Annotated[
        bool,
        typer.Option(
            "--compare", help="Compare the models of the records first, and write that too."
        ),
    ] = False,
    protocol: Annotated[
        str | None,
        typer.Option(
            help="Only records of its data set; --compare takes its images and threat model, "
            "those of digits-linf by default."
        ),
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Images of that data set from a .npz file.")
    ] = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="Folder with the public CIFAR archives.")
    ] = None,
    trained_at: Annotated[
        list[str] | None,
        typer.Option(help="MODEL=EPS of its training, for models of several eps.", metavar="M=EPS"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")] = False,
) -> None:
    """Tell which of the paper's claims hold for evaluated models."""
    from clbench.analysis.report import compare_recorded, write_findings
    from clbench.cli.render.probe import show_findings
    from clbench.cli.render.probe_progress import probe_progress
    from clbench.schema.protocol import find_protocol

    known_eps = _trained_at(trained_at or [])
    analysis = None
    if compare:
        with probe_progress(shown=not (quiet or as_json)) as on_progress:
            analysis = compare_recorded(
                records,
                protocol=protocol,
                data=data,
                data_dir=data_dir,
                out=out,
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
