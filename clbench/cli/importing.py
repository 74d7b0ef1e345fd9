"""``clbench import``: a checkpoint of another project, made into a model."""

from pathlib import Path
from typing import Annotated

import typer

from clbench.cli import options as opt
from clbench.cli.options_of_preprocessing import Mean, Std
from clbench.cli.streams import code_of_others

EXAMPLES = """\b
Examples:
  clbench import moco_v2_800ep_pretrain.pth.tar --out moco
  clbench import model_best.pth --dataset cifar10 --data-dir data --out awp
  clbench import acl.pt --bn clean --out acl
"""

Checkpoint = Annotated[
    Path, typer.Argument(help="A file of torch.save or safetensors.", show_default=False)
]
Arch = Annotated[
    str | None,
    typer.Option(
        rich_help_panel=opt.WHAT,
        help="A name of timm, torchvision or clbench (resnet10_w16); told from the tensors unless "
        "given.",
    ),
]
Dialect = Annotated[
    str | None,
    typer.Option(
        rich_help_panel=opt.WHAT,
        help="How it was written, see docs/import.md; recognised unless given.",
        autocompletion=opt.names_of("clbench.models.checkpoints.dialects:DIALECTS"),
    ),
]
BatchNorms = Annotated[
    str | None,
    typer.Option(
        rich_help_panel=opt.WHAT,
        help="Which of several batch norms: clean or adv, adv unless given.",
    ),
]
StemPadding = Annotated[
    int | None,
    typer.Option(
        rich_help_panel=opt.WHAT,
        help="Of the first convolution of a network for small images: 1 or 2.",
    ),
]
Data = Annotated[
    Path | None,
    typer.Option(
        rich_help_panel=opt.WHAT,
        help="Validation images that tell what the tensors do not: .npz, .parquet or a folder.",
    ),
]
Dataset = Annotated[
    str | None,
    typer.Option(
        rich_help_panel=opt.WHAT, help="A data set instead, whose validation images are taken."
    ),
]
Out = Annotated[
    Path,
    typer.Option(
        rich_help_panel=opt.OUTPUT, help="Folder for the model; a new one.", show_default=False
    ),
]


def import_checkpoint(
    checkpoint: Checkpoint,
    out: Out,
    arch: Arch = None,
    dialect: Dialect = None,
    bn: BatchNorms = None,
    mean: Mean = None,
    std: Std = None,
    stem_padding: StemPadding = None,
    data: Data = None,
    dataset: Dataset = None,
    data_dir: opt.DataDir = None,
    as_json: opt.Json = False,
) -> None:
    """Make a checkpoint of another project into a folder that --model reads.

    Nothing in the checkpoint is run. Every name in it is accounted for, or it is refused.
    """
    import clbench
    from clbench.cli.render.imported import show_imported

    with code_of_others():
        imported = clbench.import_checkpoint(
            checkpoint,
            arch=arch,
            dialect=dialect,
            bn=bn,
            mean=mean,
            std=std,
            stem_padding=stem_padding,
            data=data,
            dataset=dataset,
            data_dir=data_dir,
            out=out,
        )
    show_imported(imported, as_json=as_json)
