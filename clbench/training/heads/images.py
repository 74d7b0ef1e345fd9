"""The images that a head is fitted on: of a data set, or of any files of the user's own."""

from collections.abc import Sequence
from pathlib import Path

from clbench.data.interface import DatasetInfo
from clbench.data.load import load_file
from clbench.schema.errors import BadValueError
from clbench.training.images import TrainingImages, training_images


def head_images(
    dataset: str | None, files: Sequence[Path], *, data_dir: Path | None, download: bool
) -> TrainingImages:
    """Return training and validation images, as a training splits them.

    Files alone say how large an image is and how many classes there are; beside the name of a data
    set they must be of its kind.

    Raises:
        BadValueError: Nothing says which images.
        DataError: They are missing, unreadable, too few, or of one class only.
    """
    if dataset is not None:
        return training_images(dataset, files, data_dir=data_dir, download=download)
    if not files:
        raise BadValueError(
            "a head needs images to be fitted on, got none; give --dataset or --data FILE"
        )
    found = [load_file(path) for path in files]
    _, c, h, w = found[0].images.shape
    n_classes = max(one.n_classes for one in found)
    info = DatasetInfo(data_name(None, files), (c, h, w), n_classes, len(found[0]))
    return training_images(info, files)


def data_name(dataset: str | None, files: Sequence[Path]) -> str:
    """Return what images are called: by their data set, else by their files."""
    return dataset or "+".join(path.name for path in files)
