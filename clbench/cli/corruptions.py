"""``clbench corruptions``: networks on corrupted images."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from clbench.cli import options as opt
from clbench.cli import options_of_preprocessing as seen
from clbench.cli.streams import code_of_others

Dataset = Annotated[
    Literal["cifar10-c", "cifar100-c", "imagenet-c", "imagenet-3dcc"],
    typer.Option(help="Which set, in its public layout.", show_default=False),
]
DataDir = Annotated[
    Path,
    typer.Option(help="Folder that holds it, and the clean images.", show_default=False),
]
Baseline = Annotated[
    Path | None,
    typer.Option(help="RobustBench's unaggregated_results.csv, for the mean corruption error."),
]


def corruptions(
    model: opt.PlannedModel,
    dataset: Dataset,
    data_dir: DataDir,
    weights: opt.Weights = None,
    output: seen.Output = None,
    n_examples: opt.NExamples = None,
    baseline: Baseline = None,
    device: opt.Device = "auto",
    out: opt.Out = Path("results"),
    as_json: opt.Json = False,
) -> None:
    """Evaluate a model on corrupted images: every corruption in five severities."""
    import clbench
    from clbench.cli.render.evaluation import show_evaluation
    from clbench.cli.render.probe_progress import probe_progress

    with code_of_others(), probe_progress(shown=not as_json) as on_progress:
        done = clbench.evaluate_corruptions(
            model,
            dataset=dataset,
            data_dir=data_dir,
            weights=weights,
            output=output,
            n_examples=n_examples,
            baseline=baseline,
            device=device,
            out=out,
            on_probe=on_progress,
        )
    show_evaluation(done, as_json=as_json)
