"""What a finished training was, and what it reached on validation images."""

import torch
from torch import nn

from clbench.runtime.devices import device_name
from clbench.schema.dataclass_io import to_table
from clbench.schema.provenance import commit, utc_now, versions
from clbench.schema.training_record import TrainingRecord
from clbench.training.heads.recipe import HeadRecipe
from clbench.training.phases import Job
from clbench.training.recipe import Recipe
from clbench.training.validate import accuracy


def training_record(
    model: str,
    recipe: Recipe | HeadRecipe,
    job: Job,
    network: nn.Module,
    *,
    selected: dict[str, int],
    seconds: float,
    weights_sha256: str,
) -> TrainingRecord:
    """Return the record of a training, the accuracies of its network included.

    Args:
        model: What was trained.
        recipe: By which it was.
        job: On which images and device.
        network: As its file has it; moved to the device.
        selected: The epoch that was kept of each phase.
        seconds: The time spent.
        weights_sha256: Of the file.
    """
    device = job.fabric.device
    network.to(device)
    return TrainingRecord(
        model=model,
        seed=recipe.seed,
        recipe=to_table(recipe),
        recipe_sha256=recipe.sha256,
        selected=selected,
        n_train=len(job.train),
        n_validation=len(job.validation),
        data_sha256=job.train.sha256,
        validation_sha256=job.validation.sha256,
        clean_acc=accuracy(network, job.validation, None, device=device),
        robust_acc=accuracy(network, job.validation, job.attack, device=device),
        seconds=round(seconds, 1),
        device=device_name(device),
        processes=job.fabric.world_size,
        precision=recipe.precision,
        threads=torch.get_num_threads(),
        weights_sha256=weights_sha256,
        versions=versions("lightning-fabric"),
        commit=commit(),
        created=utc_now(),
    )
