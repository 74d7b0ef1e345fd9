"""``clbench eval``: the main job."""

from pathlib import Path
from typing import Annotated, Literal

import typer

EXIT_UNRELIABLE = 3
EXIT_INTERRUPTED = 130

EXAMPLES = """\b
Examples:
  clbench eval --model simclr_at
  clbench eval --model simclr_at --protocol cifar10-linf --data-dir DIR --weights FILE
  clbench eval --model net.py:make_net --weights FILE --data images.npz --eps 2/255
  clbench eval --model supcon_st --attack pgd,steps=50,restarts=5 --n-examples 100
"""


def _known_protocols(incomplete: str) -> list[str]:
    from clbench.schema.protocol import protocols

    return [name for name in protocols() if name.startswith(incomplete)]


def _batch_size(text: str) -> int | None:
    if text == "auto":
        return None
    if text.isdecimal() and int(text) > 0:
        return int(text)
    raise typer.BadParameter(f"must be auto or a number above 0, got {text!r}")


def evaluate_model(
    model: Annotated[
        str,
        typer.Option(
            help="Zoo name (see clbench models), timm:NAME, robustbench:NAME, FILE.py:FACTORY or "
            "pkg.mod:FACTORY.",
            show_default=False,
        ),
    ],
    protocol: Annotated[
        str | None,
        typer.Option(
            help="How to evaluate (see clbench protocols); digits-linf unless given.",
            autocompletion=_known_protocols,
        ),
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
    weights: Annotated[
        Path | None, typer.Option(help="A safetensors file instead of the model's own weights.")
    ] = None,
    norm: Annotated[str | None, typer.Option(help="Linf or L2; overrides the protocol.")] = None,
    eps: Annotated[
        str | None,
        typer.Option(help="Largest perturbation, like 8/255 or 0.5; overrides the protocol."),
    ] = None,
    n_examples: Annotated[
        int | None, typer.Option(help="The first N examples; overrides the protocol.")
    ] = None,
    attack: Annotated[
        str | None,
        typer.Option(help="NAME[,key=value...] (see clbench attacks); overrides the protocol."),
    ] = None,
    backend: Annotated[str, typer.Option(help="The package that must run the attack.")] = "auto",
    batch_size: Annotated[
        str, typer.Option(help="Images attacked at once: auto or a number.")
    ] = "auto",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    precision: Annotated[
        Literal["float32", "bfloat16"],
        typer.Option(help="Arithmetic of the attacks; every success is confirmed in float32."),
    ] = "float32",
    seed: Annotated[
        int | None, typer.Option(help="Decides every random number; overrides the protocol.")
    ] = None,
    out: Annotated[
        Path, typer.Option(help="Folder for records, evidence and leaderboard.csv.")
    ] = Path("results"),
    probe: Annotated[bool, typer.Option(help="Add the CKA columns.")] = True,
    linear_probes: Annotated[
        bool,
        typer.Option(
            "--linear-probes", help="Add columns of linear classifiers of every stage's features."
        ),
    ] = False,
    layer_probes: Annotated[bool, typer.Option("--layer-probes", hidden=True)] = False,
    train_data: Annotated[
        list[Path] | None,
        typer.Option(
            help="Training images for --linear-probes: .npz or .parquet; may be repeated."
        ),
    ] = None,
    restart: Annotated[
        bool,
        typer.Option(
            "--restart/--resume", help="Run again from the start, or go on and reuse what is done."
        ),
    ] = False,
    save_adversarial: Annotated[
        bool, typer.Option("--save-adversarial", help="Keep the adversarial images as evidence.")
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with status 3 when a flag is raised.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the record for machines.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")] = False,
) -> None:
    """Evaluate a model under attack and write it into the leaderboard."""
    from clbench.cli.render.evaluation import show_result
    from clbench.cli.render.evaluation_progress import evaluation_progress
    from clbench.pipeline import Request, run

    request = Request(
        model=model,
        protocol=protocol,
        data=data,
        data_dir=data_dir,
        download=download,
        weights=weights,
        norm=norm,
        eps=eps,
        n_examples=n_examples,
        attack=attack,
        backend=backend,
        batch_size=_batch_size(batch_size),
        device=device,
        precision=precision,
        seed=seed,
        out=out,
        probe=probe,
        layer_probes=linear_probes or layer_probes,
        train_data=train_data or [],
        restart=restart,
        save_adversarial=save_adversarial,
    )
    try:
        with evaluation_progress(shown=not (quiet or as_json)) as (on_progress, on_probe):
            finished = run(request, on_progress, on_probe)
    except KeyboardInterrupt:
        typer.echo("clbench: interrupted and saved; the same command goes on from here", err=True)
        raise typer.Exit(EXIT_INTERRUPTED) from None
    if not quiet:
        show_result(finished, as_json=as_json)
    if strict and finished.record.flags:
        raise typer.Exit(EXIT_UNRELIABLE)
