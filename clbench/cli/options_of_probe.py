"""The options that ``clbench probe`` and its findings have of their own."""

from pathlib import Path
from typing import Annotated

import typer

from clbench.cli import readers
from clbench.cli.command import reads
from clbench.cli.options import ATTACK, MEASURES, OUTPUT, RUN, WHAT, names_of

Models = Annotated[
    list[str] | None,
    typer.Option(
        "--model",
        rich_help_panel=WHAT,
        metavar="MODEL",
        help="As for clbench eval; NAME=WHAT names one, MODEL=WEIGHTS gives it other "
        "weights; once for every model.",
    ),
]
Comparisons = Annotated[
    list[str] | None,
    typer.Option(
        "--comparison",
        rich_help_panel=MEASURES,
        metavar="NAME",
        help="Which matrices, all by default; may be repeated: clean-clean, "
        "adversarial-adversarial, adversarial-clean, cross-clean, cross-adversarial, "
        "cross-common, cross-scheme, cross-scenario; and the controls noise-clean, untrained, "
        "pixels.",
        autocompletion=names_of("clbench.analysis.comparisons:COMPARISONS"),
    ),
]
OldComparisons = Annotated[list[str] | None, typer.Option("--kind", hidden=True)]
Common = Annotated[
    str,
    typer.Option(
        rich_help_panel=MEASURES,
        help="Model that the images common to all are made against; the first by default.",
        show_default=False,
    ),
]
Layers = Annotated[
    list[str] | None,
    typer.Option(
        "--layer",
        rich_help_panel=MEASURES,
        metavar="LAYER",
        help="Stage, module or pattern (layer*.conv2), or all; may be repeated; the ends of "
        "blocks, pooled features and logits by default.",
    ),
]
OldLayers = Annotated[list[str] | None, typer.Option("--tap", hidden=True)]
Measure = Annotated[
    str,
    typer.Option(
        rich_help_panel=MEASURES,
        help="See clbench measures; or one of your own: FILE.py:NAME.",
        autocompletion=names_of("clbench.probes.similarity.measures:MEASURES"),
    ),
]
Estimator = Annotated[
    str,
    typer.Option(
        rich_help_panel=MEASURES,
        help="How the measure is had from finite examples; see clbench measures.",
        show_default=False,
    ),
]
Permutations = Annotated[
    int | None,
    typer.Option(
        rich_help_panel=MEASURES,
        help="Other orders of the examples, any and within classes, that tell what chance alone "
        "gives; 1000 for the default estimator, else 0.",
        **reads(readers.permutations, "N"),
    ),
]
Pooling = Annotated[
    str,
    typer.Option(rich_help_panel=MEASURES, help="Features of linear probes: pooled, or spatial."),
]
OldPooling = Annotated[str, typer.Option("--extent", hidden=True)]
AttackSteps = Annotated[
    int,
    typer.Option(
        rich_help_panel=ATTACK,
        help="Steps of PGD, which makes the adversarial images.",
        **reads(readers.attack_steps, "N"),
    ),
]
ProbeOut = Annotated[
    Path, typer.Option(rich_help_panel=OUTPUT, help="Folder for matrices, tables and figures.")
]
ProbeRestart = Annotated[
    bool,
    typer.Option(
        "--restart", rich_help_panel=RUN, help="Replace another comparison in the folder."
    ),
]
Figures = Annotated[
    bool,
    typer.Option(
        "--figures/--no-figures", rich_help_panel=OUTPUT, help="Draw everything as PNG and SVG."
    ),
]
Records = Annotated[
    Path,
    typer.Option(rich_help_panel=WHAT, help="Folder that clbench eval wrote.", show_default=False),
]
FindingsOut = Annotated[
    Path, typer.Option(rich_help_panel=OUTPUT, help="Folder for the findings.", show_default=False)
]
Compared = Annotated[
    Path | None,
    typer.Option(
        "--probe",
        rich_help_panel=WHAT,
        help="Folder that clbench probe wrote; without it, only the CKA columns count.",
    ),
]
Compare = Annotated[
    bool,
    typer.Option(
        "--compare",
        rich_help_panel=WHAT,
        help="Compare the models of the records first, and write that too.",
    ),
]
TrainedAt = Annotated[
    list[str] | None,
    typer.Option(
        rich_help_panel=WHAT,
        help="MODEL=EPS of its training, for models of several eps.",
        metavar="M=EPS",
    ),
]
