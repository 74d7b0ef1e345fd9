"""Images that may decide something: for validation, or a user's own, never a test set's."""

from pathlib import Path

from clbench.data.datasets import TEST_SETS
from clbench.data.image_set import ImageSet
from clbench.data.load import Data, load_images, training_set
from clbench.schema.errors import BadValueError


def deciding_images(
    data: Data | None, dataset: str | None, data_dir: Path | None
) -> ImageSet | None:
    """Return images that readings of a checkpoint are told apart by; None where there are none.

    Args:
        data: A user's own.
        dataset: A data set, whose validation images are taken.
        data_dir: The folder with its public archive.

    Raises:
        BadValueError: Both were given, or images of a test set.
        DataError: They are missing, unreadable or wrong.
    """
    if data is not None and dataset is not None:
        raise BadValueError(f"give --data or --dataset, got both: {data!r} and {dataset!r}")
    if dataset is not None:
        return training_set(dataset, "validation", data_dir=data_dir)
    if data is None:
        return None
    if isinstance(data, str) and data in TEST_SETS:
        raise _of_a_test_set(data)
    images = load_images(data)
    if images.name in TEST_SETS:
        raise _of_a_test_set(images.name)
    return images


def _of_a_test_set(name: str) -> BadValueError:
    return BadValueError(
        f"the images are test images of {name!r}, and none of those may decide anything; "
        f"give --dataset {name}, whose validation images are taken"
    )
