"""``clbench train``: from a recipe to weights."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from clbench.train import Epoch, Recipe, Trained

EXIT_INTERRUPTED = 130
LINE_EVERY = 10
"""Where there is no terminal for a bar, so many epochs share a line."""

EXAMPLES = """\b
Examples:
  clbench train simclr_at --dataset digits --out runs/simclr_at
  clbench train simclr_full_at --from runs/simclr_at --out runs/simclr_full_at
  clbench eval --model simclr_at --weights runs/simclr_at/weights.safetensors
"""


def _known_models(incomplete: str) -> list[str]:
    from clbench.names import SCENARIOS, SCHEMES

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
        Literal["float32", "bfloat16"], typer.Option(help="Arithmetic of the training.")
    ] = "float32",
    restart: Annotated[
        bool, typer.Option("--restart", help="Train again where a finished run is.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")] = False,
) -> None:
    """Train a model of the zoo by its recipe; write weights, log and model card."""
    from clbench.train import train as run

    try:
        with _progress(shown=not quiet) as (on_start, on_epoch):
            trained = run(
                name,
                dataset,
                out,
                seed=seed,
                device=device,
                precision=precision,
                data_dir=data_dir,
                download=download,
                pretrained=pretrained,
                restart=restart,
                on_start=on_start,
                on_epoch=on_epoch,
            )
    except KeyboardInterrupt:
        typer.echo(f"clbench: interrupted; {out}/log.csv shows how far it came", err=True)
        raise typer.Exit(EXIT_INTERRUPTED) from None
    if not quiet:
        _show(trained, name, dataset)


@contextmanager
def _progress(
    *, shown: bool
) -> Iterator[tuple[Callable[["Recipe"], None], Callable[["Epoch"], None]]]:
    """Give functions that show how far the training is, on stderr: a bar, or lines."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True, quiet=not shown)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[figures]}"),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    bars = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    task = bars.add_task("loading", total=None, figures="")
    costs: dict[str, int] = {}
    reached = {"clean": "", "robust": ""}

    def start(recipe: "Recipe") -> None:
        costs.update({name: phase.passes_per_image for name, phase in recipe.phases.items()})
        total = sum(costs[name] * phase.epochs for name, phase in recipe.phases.items())
        bars.update(task, total=total)

    def show(row: "Epoch") -> None:
        measured = row.clean_acc is not None and row.robust_acc is not None
        if measured:
            reached.update(clean=f"clean {row.clean_acc:.1%}", robust=f"PGD {row.robust_acc:.1%}")
        figures = " ".join([f"loss {row.loss:.3f}", *reached.values()]).strip()
        at = f"{row.phase} {row.epoch}/{row.n_epochs}"
        bars.update(task, description=at, figures=figures)
        bars.advance(task, costs[row.phase])
        told = measured or row.epoch in (1, row.n_epochs) or row.epoch % LINE_EVERY == 0
        if told and not console.is_terminal:
            console.print(f"{at}: {figures}", highlight=False)

    with bars:
        yield start, show


def _show(trained: "Trained", name: str, dataset: str) -> None:
    summary = trained.summary
    weights = trained.out / "weights.safetensors"
    figures = f"validation: clean {summary.clean_acc:.1%}, PGD {summary.robust_acc:.1%}"
    if not trained.new:
        typer.echo(f"{trained.out} already holds this training ({figures}); --restart trains again")
        return
    typer.echo(f"trained {summary.model} in {summary.seconds:.0f} s; {figures}")
    typer.echo(f"next: clbench eval --model {name}.{dataset} --weights {weights}")
