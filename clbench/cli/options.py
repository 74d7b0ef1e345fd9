"""Every option of the command line, once; commands name those they have."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer


def _names(table: str) -> Any:  # noqa: ANN401 - what typer wants of a completion
    """Return a completion with the names of a table, ``module:attribute``, loaded when asked."""

    def complete(incomplete: str) -> list[str]:
        from importlib import import_module

        module, _, attribute = table.partition(":")
        found = getattr(import_module(module), attribute)
        names = found() if callable(found) else found
        return [name for name in names if name.startswith(incomplete)]

    return complete


Model = Annotated[
    str,
    typer.Option(
        help="Zoo name (see clbench models), timm:NAME, robustbench:NAME, FILE.py:FACTORY or "
        "pkg.mod:FACTORY; NAME=WHAT names it.",
        show_default=False,
    ),
]
LayersModel = Annotated[str, typer.Argument(help="As for clbench eval.", show_default=False)]
Protocol = Annotated[
    str | None,
    typer.Option(
        help="How to evaluate (see clbench protocols); digits-linf unless given.",
        autocompletion=_names("clbench.schema.protocol:protocols"),
    ),
]
Data = Annotated[
    Path | None,
    typer.Option(help="Your own images: .npz with x (n, h, w, c) and y (n), or .parquet."),
]
DataDir = Annotated[Path | None, typer.Option(help="Folder with the public CIFAR archives.")]
Download = Annotated[
    bool, typer.Option("--download", help="Fetch a public data set that is not there.")
]
Weights = Annotated[
    Path | None,
    typer.Option(help="A file (.safetensors, .pt, .pth) instead of the model's own weights."),
]
Norm = Annotated[
    str | None,
    typer.Option(
        help="Linf, L2 or L1; overrides the protocol.",
        autocompletion=_names("clbench.schema.names:NORM_NAMES"),
    ),
]
Eps = Annotated[
    str | None,
    typer.Option(help="Largest perturbation, like 8/255 or 0.5; overrides the protocol."),
]
NExamples = Annotated[
    int | None, typer.Option(help="The first N examples; overrides the protocol.")
]
Attack = Annotated[
    str | None,
    typer.Option(
        help="NAME[,key=value...] (see clbench attacks), or FILE.py:NAME; overrides the protocol."
    ),
]
Backend = Annotated[str, typer.Option(help="Who must run the attack.")]
BatchSize = Annotated[str, typer.Option(help="Images attacked at once: auto or a number.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
Precision = Annotated[
    Literal["float32", "bfloat16"],
    typer.Option(help="Arithmetic of the attacks; every success is confirmed in float32."),
]
Seed = Annotated[
    int | None, typer.Option(help="Decides every random number; overrides the protocol.")
]
Out = Annotated[Path, typer.Option(help="Folder for records, evidence and leaderboard.csv.")]
Probe = Annotated[bool, typer.Option(help="Add the CKA columns.")]
LinearProbes = Annotated[
    bool,
    typer.Option(
        "--linear-probes", help="Also fit linear classifiers of the features, and attack them."
    ),
]
OldLinearProbes = Annotated[bool, typer.Option("--layer-probes", hidden=True)]
"""As version 0.1 called ``--linear-probes``."""
TrainData = Annotated[
    list[Path] | None,
    typer.Option(help="Training images for --linear-probes: .npz or .parquet; may be repeated."),
]
Restart = Annotated[
    bool,
    typer.Option(
        "--restart/--resume", help="Run again from the start, or go on and reuse what is done."
    ),
]
SaveAdversarial = Annotated[
    bool, typer.Option("--save-adversarial", help="Keep the adversarial images as evidence.")
]
Events = Annotated[
    Path | None, typer.Option(help="Append progress and record to this file, a JSON a line.")
]
Models = Annotated[
    list[str] | None,
    typer.Option(
        "--model",
        help="As for clbench eval; NAME=WHAT names one, MODEL=WEIGHTS gives it other "
        "weights; once for every model.",
    ),
]
Comparisons = Annotated[
    list[str] | None,
    typer.Option(
        "--comparison",
        help="Which matrices, all by default; may be repeated: clean-clean, "
        "adversarial-adversarial, adversarial-clean, cross-clean, cross-adversarial, "
        "cross-common, cross-scheme, cross-scenario.",
        autocompletion=_names("clbench.analysis.comparisons:COMPARISONS"),
    ),
]
OldComparisons = Annotated[list[str] | None, typer.Option("--kind", hidden=True)]
Common = Annotated[
    str,
    typer.Option(
        help="Model that the images common to all are made against; the first by default.",
        show_default=False,
    ),
]
Layers = Annotated[
    list[str] | None,
    typer.Option(
        "--layer",
        help="Stage, module or pattern (layer*.conv2), or all; may be repeated; the ends of "
        "blocks, pooled features and logits by default.",
    ),
]
OldLayers = Annotated[list[str] | None, typer.Option("--tap", hidden=True)]
Measure = Annotated[
    str,
    typer.Option(
        help="cka, or a similarity measure of your own: FILE.py:NAME.",
        autocompletion=_names("clbench.probes.similarity.measures:MEASURES"),
    ),
]
Estimator = Annotated[
    str,
    typer.Option(help="debiased-minibatch (the default), debiased or biased.", show_default=False),
]
Pooling = Annotated[str, typer.Option(help="Features of linear probes: pooled, or spatial.")]
OldPooling = Annotated[str, typer.Option("--extent", hidden=True)]
AttackSteps = Annotated[int, typer.Option(help="Steps of PGD, which makes the adversarial images.")]
ProbeOut = Annotated[Path, typer.Option(help="Folder for matrices, tables and figures.")]
Figures = Annotated[
    bool, typer.Option("--figures/--no-figures", help="Draw everything as PNG and SVG.")
]
Records = Annotated[Path, typer.Option(help="Folder that clbench eval wrote.", show_default=False)]
FindingsOut = Annotated[Path, typer.Option(help="Folder for the findings.", show_default=False)]
Compared = Annotated[
    Path | None,
    typer.Option(
        "--probe", help="Folder that clbench probe wrote; without it, only the CKA columns count."
    ),
]
Compare = Annotated[
    bool,
    typer.Option("--compare", help="Compare the models of the records first, and write that too."),
]
TrainedAt = Annotated[
    list[str] | None,
    typer.Option(help="MODEL=EPS of its training, for models of several eps.", metavar="M=EPS"),
]


TrainingName = Annotated[
    str,
    typer.Argument(
        help="What to train, such as simclr_at (see clbench models).",
        autocompletion=_names("clbench.models.zoo:zoo_names"),
        show_default=False,
    ),
]
TrainingOut = Annotated[
    Path, typer.Option(help="Folder for weights, log and model card.", show_default=False)
]
Dataset = Annotated[str, typer.Option(help="What to train on.")]
Recipe = Annotated[str, typer.Option(help="default, paper, narrow, or a recipe file of your own.")]
Changes = Annotated[
    list[str] | None,
    typer.Option(
        "--set", help="FIELD=VALUE of the recipe, such as finetuning.epochs=30.", metavar="F=V"
    ),
]
TrainingFiles = Annotated[
    list[Path] | None,
    typer.Option(help="Training images of your own, .npz or .parquet; may be repeated."),
]
Pretrained = Annotated[
    Path | None,
    typer.Option("--from", help="Reuse the pretrained backbone of this finished run."),
]
TrainingSeed = Annotated[int | None, typer.Option(help="Instead of the recipe's seed.")]
TrainingPrecision = Annotated[
    Literal["float32", "bfloat16"] | None,
    typer.Option(help="Arithmetic of the training, instead of the recipe's."),
]
TrainingRestart = Annotated[
    bool, typer.Option("--restart", help="Train from the beginning where a run is.")
]
Tensorboard = Annotated[
    bool, typer.Option("--tensorboard", help="Write the log for TensorBoard too.")
]
Strict = Annotated[bool, typer.Option("--strict", help="Exit with status 3 when a flag is raised.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")]
