"""Options that say what stands before a network, and what of its answer is taken."""

from typing import Annotated

import typer

from clbench.cli.options import WHAT

_PER_CHANNEL = "A number per channel, of pixels in [0, 1], like 0.485,0.456,0.406"

Mean = Annotated[
    str | None, typer.Option(rich_help_panel=WHAT, help=f"{_PER_CHANNEL}; with --std.")
]
Std = Annotated[
    str | None, typer.Option(rich_help_panel=WHAT, help=f"{_PER_CHANNEL}; with --mean.")
]
Resize = Annotated[
    int | None,
    typer.Option(rich_help_panel=WHAT, help="Bring the shorter side of images to this length."),
]
Crop = Annotated[
    int | None,
    typer.Option(rich_help_panel=WHAT, help="Then cut a square of this side out of the middle."),
]
Interpolation = Annotated[
    str | None,
    typer.Option(rich_help_panel=WHAT, help="bilinear (unless given), bicubic or nearest."),
]
Output = Annotated[
    str | None,
    typer.Option(
        rich_help_panel=WHAT,
        metavar="NAME|INDEX",
        help="Which entry is the logits, of a network that returns a tuple or a dictionary.",
    ),
]
Outputs = Annotated[
    list[str] | None,
    typer.Option(
        "--output",
        rich_help_panel=WHAT,
        metavar="NAME|INDEX",
        help="Which entry is the logits, of a network that returns a tuple or a dictionary; "
        "MODEL=ENTRY where there are several models.",
    ),
]
