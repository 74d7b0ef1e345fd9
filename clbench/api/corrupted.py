"""Evaluating a network on corrupted images."""

from typing import TYPE_CHECKING

from clbench.schema.paths import AnyPath, as_path, path_or_none
from clbench.schema.progress import OnProgress

if TYPE_CHECKING:
    from clbench.evaluation.evaluation import Evaluation
    from clbench.models.load import Model


def evaluate_corruptions(
    model: "Model",
    *,
    dataset: str,
    data_dir: AnyPath,
    weights: AnyPath | None = None,
    output: str | int | None = None,
    n_examples: int | None = None,
    baseline: AnyPath | None = None,
    device: str = "auto",
    out: AnyPath | None = None,
    on_probe: OnProgress | None = None,
) -> "Evaluation":
    """Look at a model's answers to corrupted images: every corruption in five severities.

    Args:
        model: As for ``evaluate``; ``robustbench:NAME`` is of RobustBench's table of corruptions.
        dataset: cifar10-c, cifar100-c, imagenet-c or imagenet-3dcc.
        data_dir: The folder that holds it in its public layout, and the clean images.
        weights: A file instead of the model's own weights.
        output: Which entry of the network's answer is the logits, as for ``evaluate``.
        n_examples: The first so many images.
        baseline: A file of another network's accuracies, laid out as RobustBench's
            ``unaggregated_results.csv``; with it comes the mean corruption error.
        device: Where to run.
        out: Folder for record, evidence and leaderboard.csv; None writes nothing.
        on_probe: Told how much is done, and how much there is.

    Raises:
        ClbenchError: Anything that the user can mend.
    """
    from clbench.data.load import load_test_set
    from clbench.evaluation.corrupted_record import evaluate_corrupted
    from clbench.leaderboard.table import build
    from clbench.models.load import load_for, of_threat_model, preprocessing_of
    from clbench.runtime.devices import find_device
    from clbench.schema.corruptions import CORRUPTED
    from clbench.schema.names import look_up

    of, folder = look_up(CORRUPTED, dataset, "set of corrupted images"), path_or_none("out", out)
    place, named = find_device(device), of_threat_model(model, of.threat_model)
    clean = load_test_set(
        of.dataset,
        n_examples=n_examples or of.n_examples,
        data_dir=as_path("data_dir", data_dir),
        preprocessing=preprocessing_of(named, of.dataset, "Linf"),
    )
    loaded, clean = load_for(
        named,
        clean,
        dataset=of.dataset,
        norm="Linf",
        device=place,
        weights=path_or_none("weights", weights),
        output=output,
    )
    done = evaluate_corrupted(
        loaded,
        of,
        clean,
        data_dir=as_path("data_dir", data_dir),
        device=place,
        baseline=path_or_none("baseline", baseline),
        out=folder,
        on_progress=on_probe,
    )
    if folder is not None:
        build(folder)
    return done
