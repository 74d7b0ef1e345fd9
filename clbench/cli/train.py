"""``clbench train``: from a recipe to weights."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from clbench.cli import options as opt
from clbench.cli.run import interruptible, is_first_process, quietly

if TYPE_CHECKING:
    from clbench.training.loop import Trained

EXAMPLES = """\b
Examples:
  clbench train simclr_at --dataset digits --out runs/simclr_at
  clbench train simclr_full_at --from runs/simclr_at --out runs/simclr_full_at
  clbench train supervised_at --dataset cifar10 --data-dir DIR --set pretraining.epochs=50 --out run
  torchrun --nproc-per-node 8 -m clbench train simclr_at --dataset cifar10 --data-dir DIR --out run
  clbench eval --model simclr_at --weights runs/simclr_at/weights.safetensors
"""


def train(
    name: opt.TrainingName,
    out: opt.TrainingOut,
    dataset: opt.Dataset = "digits",
    recipe: opt.Recipe = "default",
    changes: opt.Changes = None,
    data: opt.TrainingFiles = None,
    data_dir: opt.DataDir = None,
    download: opt.Download = False,
    pretrained: opt.Pretrained = None,
    seed: opt.TrainingSeed = None,
    device: opt.Device = "auto",
    precision: opt.TrainingPrecision = None,
    restart: opt.TrainingRestart = False,
    tensorboard: opt.Tensorboard = False,
    as_json: opt.Json = False,
    quiet: opt.Quiet = False,
) -> None:
    """Train a model by its recipe; write weights, log, curves and model card.

    A training that was stopped goes on with the same command.
    """
    given: dict[str, Any] = {**locals()}
    import clbench
    from clbench.cli.render.training_progress import training_progress
    from clbench.schema.dataclass_io import to_json

    for own in ("tensorboard", "as_json", "quiet"):
        del given[own]
    given |= {"changes": pairs(changes or []), "data": data or ()}
    first = is_first_process()
    same = "the same command without --restart" if restart else "the same command"
    log_to = out if tensorboard and first else None
    with (
        interruptible(f"interrupted; {same} goes on with {out}"),
        quietly(quiet=quiet or not first),
    ):
        with training_progress(log_to, shown=first and not (quiet or as_json)) as hooks:
            trained = clbench.train(**given | hooks)
        if first and as_json:
            typer.echo(to_json(trained.record).decode(), nl=False)
        elif first and not quiet:
            _show(trained, data_dir)


def pairs(changes: list[str]) -> dict[str, str]:
    """Return what --set says, by field.

    Raises:
        BadValueError: One says nothing, or a field is there twice.
    """
    from clbench.schema.errors import BadValueError

    for change in changes:
        if "=" not in change:
            raise BadValueError(f"--set must read like finetuning.epochs=30, got {change!r}")
    given = [(change.partition("=")[0], change.partition("=")[2]) for change in changes]
    fields = [field for field, _ in given]
    twice = next((field for field in fields if fields.count(field) > 1), None)
    if twice is not None:
        raise BadValueError(f"--set {twice} is there twice; leave one of them out")
    return dict(given)


def _show(trained: "Trained", data_dir: Path | None) -> None:
    record = trained.record
    figures = f"validation: clean {record.clean_acc:.1%}, PGD {record.robust_acc:.1%}"
    if not trained.new:
        typer.echo(f"{trained.out} already holds this training ({figures}); --restart trains again")
        return
    typer.echo(f"trained {record.model} in {record.seconds:.0f} s; {figures}")
    typer.echo(f"next: {_next(trained, data_dir)}")


def _next(trained: "Trained", data_dir: Path | None) -> str:
    """Return the command that evaluates a network as what it was trained as."""
    from clbench.models.zoo import zoo_names
    from clbench.schema.protocol import DEFAULT_PROTOCOL, find_protocol

    recipe, model = trained.record.recipe, trained.record.model
    # a network that the zoo has no row for bears its own name in its weights
    named = (model, f"{recipe['scheme']}_{recipe['scenario']}.{recipe['dataset']}")
    alike = next(
        (name for name in named if name in zoo_names()), f"supervised_at.{recipe['dataset']}"
    )
    words = ["clbench", "eval", "--model", alike]
    words += ["--weights", str(trained.out / "weights.safetensors")]
    if find_protocol(DEFAULT_PROTOCOL).dataset != recipe["dataset"]:
        words += ["--protocol", f"{recipe['dataset']}-linf", "--data-dir", str(data_dir or "DIR")]
    return shlex.join(words)
