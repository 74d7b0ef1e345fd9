"""Every option of the command line, once; commands name those they have."""

from pathlib import Path
from typing import Annotated, Any

import typer

from clbench.cli import readers
from clbench.cli.command import reads
from clbench.schema.names import PrecisionChoice


def names_of(table: str) -> Any:  # noqa: ANN401 - what typer wants of a completion
    """Return a completion with the names of a table, ``module:attribute``, loaded when asked."""

    def complete(incomplete: str) -> list[str]:
        from importlib import import_module

        module, _, attribute = table.partition(":")
        found = getattr(import_module(module), attribute)
        names = found() if callable(found) else found
        return [name for name in names if name.startswith(incomplete)]

    return complete


WHAT = "Models and images"
ATTACK = "Attack"
MEASURES = "Measures"
RUN = "Run"
OUTPUT = "Output"
"""Sections of the help."""

_MODEL = (
    "Zoo name (see clbench models), timm:NAME, robustbench:NAME, hf-hub:USER/NAME, "
    "FILE.py:FACTORY, pkg.mod:FACTORY, or a folder that clbench import, train or head made "
    "or a hub has"
)

EvaluatedModels = Annotated[
    list[str],
    typer.Option(
        "--model",
        rich_help_panel=WHAT,
        help=f"{_MODEL}; NAME=WHAT names it; may be repeated.",
        autocompletion=names_of("clbench.models.zoo:zoo_names"),
        metavar="MODEL",
        show_default=False,
    ),
]
PlannedModel = Annotated[
    str,
    typer.Option(
        "--model",
        rich_help_panel=WHAT,
        help=f"{_MODEL}.",
        autocompletion=names_of("clbench.models.zoo:zoo_names"),
        metavar="MODEL",
        show_default=False,
    ),
]
LayersModel = Annotated[str, typer.Argument(help="As for clbench eval.", show_default=False)]
Protocol = Annotated[
    str | None,
    typer.Option(
        rich_help_panel=WHAT,
        help="How to evaluate (see clbench protocols), or a FILE.toml of your own; digits-linf "
        "unless given.",
        autocompletion=names_of("clbench.schema.protocol:protocols"),
        **reads(readers.protocol),
    ),
]
Data = Annotated[
    Path | None,
    typer.Option(
        rich_help_panel=WHAT,
        help="Your own images: .npz with x (n, h, w, c) and y (n), .npy beside labels.npy, "
        ".parquet, or a folder: of classes, or a data set of Hugging Face.",
    ),
]
DataDir = Annotated[
    Path | None, typer.Option(rich_help_panel=WHAT, help="Folder with the public CIFAR archives.")
]
Download = Annotated[
    bool,
    typer.Option(
        "--download", rich_help_panel=WHAT, help="Fetch a public data set that is not there."
    ),
]
Weights = Annotated[
    Path | None,
    typer.Option(
        rich_help_panel=WHAT,
        help="A file (.safetensors, .pt, .pth) instead of the model's own weights.",
    ),
]
WeightsOfModels = Annotated[
    list[str] | None,
    typer.Option(
        rich_help_panel=WHAT,
        help="A file (.safetensors, .pt, .pth) instead of the model's own weights; NAME=FILE "
        "where there are several models.",
        metavar="FILE",
    ),
]
Norm = Annotated[
    str | None,
    typer.Option(
        rich_help_panel=ATTACK,
        help="Linf, L2 or L1; overrides the protocol.",
        autocompletion=names_of("clbench.schema.names:NORM_NAMES"),
        **reads(readers.norm),
    ),
]
_EPS = "Largest perturbation, like 8/255 or 0.5; overrides the protocol"
Eps = Annotated[
    str | None, typer.Option(rich_help_panel=ATTACK, help=f"{_EPS}.", **reads(readers.eps))
]
SeveralEps = Annotated[
    list[str] | None,
    typer.Option(
        "--eps",
        rich_help_panel=ATTACK,
        help=f"{_EPS}; several make a security curve.",
        **reads(readers.eps),
    ),
]
NExamples = Annotated[
    int | None,
    typer.Option(
        rich_help_panel=WHAT,
        help="The first N examples; overrides the protocol.",
        **reads(readers.n_examples, "N"),
    ),
]
Attack = Annotated[
    str | None,
    typer.Option(
        rich_help_panel=ATTACK,
        help="NAME[,key=value...] (see clbench attacks), FILE.py:NAME, or several with + between "
        "them; overrides the protocol.",
        autocompletion=names_of("clbench.attacks.grammar:ATTACKS"),
        **reads(readers.attack),
    ),
]
Backend = Annotated[
    str,
    typer.Option(
        rich_help_panel=ATTACK,
        help="Who must run the attack: auto, native (clbench itself), pyautoattack or "
        "torchattacks.",
        autocompletion=names_of("clbench.attacks.grammar:BACKEND_NAMES"),
        **reads(readers.backend),
    ),
]
BatchSize = Annotated[
    str,
    typer.Option(
        rich_help_panel=ATTACK,
        help="Images attacked at once: auto or a number.",
        **reads(readers.batch_size),
    ),
]
Device = Annotated[
    str,
    typer.Option(rich_help_panel=RUN, help="auto, cpu, cuda or cuda:N.", **reads(readers.device)),
]
Precision = Annotated[
    PrecisionChoice,
    typer.Option(
        rich_help_panel=ATTACK,
        help="Arithmetic of the attacks, auto for float32; every success is confirmed in float32.",
    ),
]
Seed = Annotated[
    int | None,
    typer.Option(
        rich_help_panel=RUN,
        help="Decides every random number; overrides the protocol.",
        **reads(readers.seed, "N"),
    ),
]
Out = Annotated[
    Path,
    typer.Option(rich_help_panel=OUTPUT, help="Folder for records, evidence and leaderboard.csv."),
]
Probe = Annotated[bool, typer.Option(rich_help_panel=MEASURES, help="Add the CKA columns.")]
LinearProbes = Annotated[
    bool,
    typer.Option(
        "--linear-probes",
        rich_help_panel=MEASURES,
        help="Also fit linear classifiers of the features, and attack them.",
    ),
]
OldLinearProbes = Annotated[bool, typer.Option("--layer-probes", hidden=True)]
"""As version 0.1 called ``--linear-probes``."""
TrainData = Annotated[
    list[Path] | None,
    typer.Option(
        rich_help_panel=WHAT,
        help="Training images for --linear-probes: .npz or .parquet; may be repeated.",
        metavar="FILE",
    ),
]
TransferFrom = Annotated[
    list[Path] | None,
    typer.Option(
        rich_help_panel=ATTACK,
        metavar="RECORD",
        help="A record of another network on the same examples, whose adversarial images are "
        "asked about last; may be repeated.",
    ),
]
Shard = Annotated[
    str | None,
    typer.Option(
        rich_help_panel=RUN,
        help="Attack one part of the examples, like 3/16; clbench merge joins all.",
        **reads(readers.shard, "K/N"),
    ),
]
Finish = Annotated[
    bool,
    typer.Option(
        "--finish",
        rich_help_panel=ATTACK,
        help="Go on with autoattack from a finished run of --attack fast.",
    ),
]
Restart = Annotated[
    bool, typer.Option("--restart", rich_help_panel=RUN, help="Run again from the start.")
]
Resume = Annotated[
    bool,
    typer.Option(
        "--resume", rich_help_panel=RUN, help="Go on, and reuse what is done: the default."
    ),
]
SaveAdversarial = Annotated[
    bool,
    typer.Option(
        "--save-adversarial",
        rich_help_panel=OUTPUT,
        help="Keep all adversarial images as floats, beside what --evidence keeps.",
    ),
]
Evidence = Annotated[
    str | None,
    typer.Option(
        rich_help_panel=OUTPUT,
        help="Keep packed images that prove what is broken: full, sample or verdicts (none); full "
        "up to 32 MB, then a sample.",
        autocompletion=names_of("clbench.schema.names:EVIDENCE_KINDS"),
        **reads(readers.evidence),
    ),
]
Events = Annotated[
    Path | None,
    typer.Option(
        rich_help_panel=OUTPUT, help="Append progress and record to this file, a JSON a line."
    ),
]


TrainingName = Annotated[
    str,
    typer.Argument(
        help="What to train, such as simclr_at (see clbench models).",
        autocompletion=names_of("clbench.models.zoo:zoo_names"),
        show_default=False,
    ),
]
TrainingOut = Annotated[
    Path,
    typer.Option(
        rich_help_panel=OUTPUT, help="Folder for weights, log and model card.", show_default=False
    ),
]
Dataset = Annotated[
    str, typer.Option(rich_help_panel=WHAT, help="What to train on.", **reads(readers.dataset))
]
Recipe = Annotated[
    str,
    typer.Option(
        rich_help_panel=WHAT, help="default, paper, narrow, or a recipe file of your own."
    ),
]
Changes = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        rich_help_panel=WHAT,
        help="FIELD=VALUE of the recipe, such as finetuning.epochs=30.",
        metavar="F=V",
    ),
]
TrainingFiles = Annotated[
    list[Path] | None,
    typer.Option(
        rich_help_panel=WHAT,
        help="Training images of your own, .npz or .parquet; may be repeated.",
        metavar="FILE",
    ),
]
Pretrained = Annotated[
    Path | None,
    typer.Option(
        "--from", rich_help_panel=WHAT, help="Reuse the pretrained backbone of this finished run."
    ),
]
TrainingSeed = Annotated[
    int | None,
    typer.Option(
        rich_help_panel=RUN, help="Instead of the recipe's seed.", **reads(readers.seed, "N")
    ),
]
TrainingPrecision = Annotated[
    PrecisionChoice | None,
    typer.Option(
        rich_help_panel=RUN,
        help="Arithmetic of the training, instead of the recipe's; auto takes bfloat16 where the "
        "device has instructions for it.",
    ),
]
TrainingRestart = Annotated[
    bool,
    typer.Option("--restart", rich_help_panel=RUN, help="Train from the beginning where a run is."),
]
Tensorboard = Annotated[
    bool,
    typer.Option(
        "--tensorboard", rich_help_panel=OUTPUT, help="Write the log for TensorBoard too."
    ),
]
Strict = Annotated[
    bool,
    typer.Option(
        "--strict", rich_help_panel=OUTPUT, help="Exit with status 3 when a flag is raised."
    ),
]
Escalate = Annotated[
    bool,
    typer.Option(
        "--escalate",
        rich_help_panel=OUTPUT,
        help="Where a flag is raised, run the attack that it asks for, too, and show the lower "
        "robust accuracy.",
    ),
]
Json = Annotated[
    bool, typer.Option("--json", rich_help_panel=OUTPUT, help="Print JSON for machines.")
]
Quiet = Annotated[
    bool, typer.Option("--quiet", rich_help_panel=OUTPUT, help="Print nothing but errors.")
]
