"""``clbench head``: a classifier for an encoder that has none."""

from pathlib import Path
from typing import Annotated, Any

import typer

from clbench.cli import options as opt
from clbench.cli import readers
from clbench.cli.command import reads
from clbench.cli.run import interruptible, is_first_process, quietly
from clbench.cli.streams import code_of_others

EXAMPLES = """\b
Examples:
  clbench head simclr_at --method slf --dataset digits --out heads/slf
  clbench head moco --method aff --dataset cifar10 --data-dir DIR --out heads/aff
  clbench head net.py:make --method alf --data images.npz --seeds 5 --out heads/alf
  clbench eval --model heads/slf/seed-0
"""

EncoderName = Annotated[
    str,
    typer.Argument(
        help="A folder that clbench import or train made, a zoo name, timm:NAME or "
        "FILE.py:FACTORY; a classifier that it has is taken off.",
        show_default=False,
    ),
]
Method = Annotated[
    str,
    typer.Option(
        rich_help_panel=opt.WHAT,
        help="slf: standard linear, alf: adversarial linear, aff: adversarial full finetuning; "
        "their robust accuracies do not compare.",
        show_default=False,
        autocompletion=opt.names_of("clbench.schema.head:METHODS"),
        **reads(readers.head_method),
    ),
]
Out = Annotated[
    Path,
    typer.Option(
        rich_help_panel=opt.OUTPUT,
        help="Folder for one folder a seed, each of which --model reads.",
        show_default=False,
    ),
]
Dataset = Annotated[
    str | None,
    typer.Option(rich_help_panel=opt.WHAT, help="What to fit on.", **reads(readers.dataset)),
]
Recipe = Annotated[
    str | None,
    typer.Option(rich_help_panel=opt.WHAT, help="A recipe file instead of the protocol's own."),
]
Weights = Annotated[
    Path | None,
    typer.Option(
        rich_help_panel=opt.WHAT,
        help="A file (.safetensors, .pt, .pth) instead of the encoder's own weights.",
    ),
]
Seeds = Annotated[
    int, typer.Option(rich_help_panel=opt.RUN, help="How many: 0, 1, ...", **reads(readers.seeds))
]


def head(
    encoder: EncoderName,
    method: Method,
    out: Out,
    dataset: Dataset = None,
    data: opt.TrainingFiles = None,
    data_dir: opt.DataDir = None,
    download: opt.Download = False,
    weights: Weights = None,
    recipe: Recipe = None,
    changes: opt.Changes = None,
    seeds: Seeds = 3,
    device: opt.Device = "auto",
    restart: opt.TrainingRestart = False,
    as_json: opt.Json = False,
    quiet: opt.Quiet = False,
) -> None:
    """Fit a classifier on an encoder by one of the field's protocols, once for each seed.

    A run that was stopped goes on with the same command.
    """
    given: dict[str, Any] = {**locals()}
    import clbench
    from clbench.cli.render.head import show_head
    from clbench.cli.render.training_progress import training_progress
    from clbench.cli.train import pairs

    for own in ("as_json", "quiet"):
        del given[own]
    given |= {"changes": pairs(changes or []), "data": data or ()}
    first = is_first_process()
    same = "the same command without --restart" if restart else "the same command"
    with (
        interruptible(f"interrupted; {same} goes on with {out}"),
        quietly(quiet=quiet or not first),
        code_of_others(),
        training_progress(None, shown=first and not (quiet or as_json)) as hooks,
    ):
        fitted = clbench.fit_head(**given | hooks)
    if first and (as_json or not quiet):
        show_head(fitted, as_json=as_json)
