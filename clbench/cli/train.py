"""``clbench train``: from a recipe to weights."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from clbench.training.loop import Trained
    from clbench.training.phases import Epoch

EXIT_INTERRUPTED = 130

EXAMPLES = """\b
Examples:
  clbench train simclr_at --dataset digits --out runs/simclr_at
  clbench train simclr_full_at --from runs/simclr_at --out runs/simclr_full_at
  clbench train supervised_at --dataset cifar10 --data-dir DIR --set pretraining.epochs=50 --out run
  torchrun --nproc-per-node 8 -m clbench train simclr_at --dataset cifar10 --data-dir DIR --out run
  clbench eval --model simclr_at --weights runs/simclr_at/weights.safetensors
"""


def _known_models(incomplete: str) -> list[str]:
    from clbench.schema.names import SCENARIOS, SCHEMES

    names = [f"{scheme}_{scenario}" for scheme in SCHEMES for scenario in SCENARIOS]
    return [name for name in names if name.startswith(incomplete)]


def train(
    name: Annotated[
        str,
        typer.Argument(
            help="What to train, such as simclr_at (see clbench models).",
            autocompletion=_known_models,
            show_default=False,
        ),
    ],
    out: Annotated[
        Path, typer.Option(help="Folder for weights, log and model card.", show_default=False)
    ],
    dataset: Annotated[str, typer.Option(help="What to train on.")] = "digits",
    recipe: Annotated[
        str, typer.Option(help="default, paper, narrow, or a recipe file of your own.")
    ] = "default",
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="FIELD=VALUE of the recipe, such as finetuning.epochs=30.", metavar="F=V"
        ),
    ] = None,
    data: Annotated[
        list[Path] | None,
        typer.Option(help="Training images of your own, .npz or .parquet; may be repeated."),
    ] = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="Folder with the public CIFAR archives.")
    ] = None,
    download: Annotated[
        bool, typer.Option("--download", help="Fetch a public data set that is not there.")
    ] = False,
    pretrained: Annotated[
        Path | None,
        typer.Option("--from", help="Reuse the pretrained backbone of this finished run."),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Instead of the recipe's seed.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    precision: Annotated[
        Literal["float32", "bfloat16"] | None,
        typer.Option(help="Arithmetic of the training, instead of the recipe's."),
    ] = None,
    restart: Annotated[
        bool, typer.Option("--restart", help="Train from the beginning where a run is.")
    ] = False,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Write the log for TensorBoard too.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")] = False,
) -> None:
    """Train a model by its recipe; write weights, log, curves and model card.

    A training that was stopped goes on with the same command.
    """
    from clbench.cli.render.training_progress import progress
    from clbench.training.loop import train as run
    from clbench.training.tensorboard import tensorboard_writer

    first = os.environ.get("RANK", "0") == "0"  # one process of torchrun speaks
    shown = first and not quiet
    notes = [tensorboard_writer(out)] if tensorboard and first else []
    try:
        with progress(shown=shown) as bar:

            def on_epoch(row: "Epoch") -> None:
                for show in (bar.show, *notes):
                    show(row)

            trained = run(
                name,
                dataset,
                out,
                recipe_name=recipe,
                changes=_pairs(changes or []),
                seed=seed,
                device=device,
                precision=precision,
                files=data or [],
                data_dir=data_dir,
                download=download,
                pretrained=pretrained,
                restart=restart,
                on_start=bar.start,
                on_epoch=on_epoch,
            )
    except KeyboardInterrupt:
        same = "the same command without --restart" if restart else "the same command"
        typer.echo(f"clbench: interrupted; {same} goes on with {out}", err=True)
        raise typer.Exit(EXIT_INTERRUPTED) from None
    if shown:
        _show(trained)


def _pairs(changes: list[str]) -> dict[str, str]:
    from clbench.schema.errors import BadValueError

    for change in changes:
        if "=" not in change:
            raise BadValueError(f"--set must read like finetuning.epochs=30, got {change!r}")
    return dict(change.split("=", 1) for change in changes)


def _show(trained: "Trained") -> None:
    from clbench.models.zoo import zoo_names

    record = trained.record
    figures = f"validation: clean {record.clean_acc:.1%}, PGD {record.robust_acc:.1%}"
    if not trained.new:
        typer.echo(f"{trained.out} already holds this training ({figures}); --restart trains again")
        return
    typer.echo(f"trained {record.model} in {record.seconds:.0f} s; {figures}")
    alike = f"{record.recipe['scheme']}_at.{record.recipe['dataset']}"  # of the same shape
    model = record.model if record.model in zoo_names() else alike
    weights = trained.out / "weights.safetensors"
    typer.echo(f"next: clbench eval --model {model} --weights {weights}")
