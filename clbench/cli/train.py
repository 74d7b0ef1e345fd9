"""``clbench train``: from a recipe to weights."""

import os
from typing import TYPE_CHECKING, Any

import typer

from clbench.cli import options as opt
from clbench.cli.run import interruptible, quietly

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
    quiet: opt.Quiet = False,
) -> None:
    """Train a model by its recipe; write weights, log, curves and model card.

    A training that was stopped goes on with the same command.
    """
    given: dict[str, Any] = {**locals()}
    import clbench
    from clbench.cli.render.training_progress import training_progress

    for own in ("tensorboard", "quiet"):
        del given[own]
    given |= {"changes": _pairs(changes or []), "data": data or ()}
    first = os.environ.get("RANK", "0") == "0"  # one process of torchrun speaks
    same = "the same command without --restart" if restart else "the same command"
    log_to = out if tensorboard and first else None
    with interruptible(f"interrupted; {same} goes on with {out}"), quietly(quiet=quiet):
        with training_progress(log_to, shown=first and not quiet) as hooks:
            trained = clbench.train(**given | hooks)
        if first and not quiet:
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
