"""Checkpoints of other projects, made into models."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from clbench.schema.paths import AnyPath, as_path, path_or_none

if TYPE_CHECKING:
    from clbench.data.load import Data
    from clbench.models.importing.convert import Imported


def import_checkpoint(
    checkpoint: AnyPath,
    *,
    arch: str | None = None,
    dialect: str | None = None,
    bn: str | None = None,
    mean: "Sequence[float] | str | None" = None,
    std: "Sequence[float] | str | None" = None,
    stem_padding: int | None = None,
    data: "Data | None" = None,
    dataset: str | None = None,
    data_dir: AnyPath | None = None,
    out: AnyPath,
) -> "Imported":
    """Make a checkpoint of another project into a folder that ``evaluate`` takes as a model.

    Nothing in the checkpoint is run. Every name in it belongs to the network or is left out for a
    reason that is told; anything else is refused. What no tensor tells, such as a normalisation, is
    said by hand, by images or by the checkpoint's dialect, and the folder tells by whom.

    Args:
        checkpoint: A file of torch.save or of safetensors.
        arch: A name of timm, torchvision or clbench; told from the tensors unless given.
        dialect: How it was written, see docs/import.md; recognised unless given.
        bn: Which of several batch norms to take, "clean" or "adv"; those of adversarial images
            unless given.
        mean: What to subtract from pixels in [0, 1], a number per channel.
        std: What to divide them by then.
        stem_padding: Of the first convolution of a network for small images, 1 or 2.
        data: Training or validation images that tell open questions by clean accuracy.
        dataset: A data set instead, whose validation images are taken.
        data_dir: The folder with its public archive.
        out: The folder to write.

    Raises:
        ClbenchError: The checkpoint is damaged, in no known dialect or in several, has names that
            are not accounted for, or a question is open; nothing is written.
    """
    from clbench.models.importing.convert import convert
    from clbench.models.importing.given import read_branch, read_given
    from clbench.models.importing.images import deciding_images

    given, branch = read_given(mean, std, stem_padding), read_branch(bn)
    images = deciding_images(data, dataset, path_or_none("data_dir", data_dir))
    return convert(
        as_path("checkpoint", checkpoint),
        as_path("out", out),
        arch=arch,
        dialect=dialect,
        branch=branch,
        given=given,
        images=images,
    )
