"""Networks, layers and images by their names, and what is installed."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from clbench.schema.paths import AnyPath, path_or_none

if TYPE_CHECKING:
    from clbench.data.image_set import ImageSet
    from clbench.data.load import Data
    from clbench.diagnosis.diagnose import Row
    from clbench.models.interface import LoadedModel
    from clbench.models.load import Model
    from clbench.probes.listing import LayerRow


def load_model(
    name: "Model", *, dataset: str | None = None, weights: AnyPath | None = None
) -> "LoadedModel":
    """Return a model with its network in eval mode, and what is known about it.

    Args:
        name: As for ``evaluate``.
        dataset: What it will be run on; the default of a zoo name's tag.
        weights: As for ``evaluate``.

    Raises:
        ClbenchError: There is no such model, or it cannot be built.

    >>> load_model("simclr_at", dataset="digits").backbone
    'resnet18_w16'
    """
    from clbench.models.load import load_model

    return load_model(name, dataset=dataset, weights=path_or_none("weights", weights))


def list_layers(
    model: "Model",
    *,
    protocol: str | None = None,
    data: "Data | None" = None,
    data_dir: AnyPath | None = None,
    weights: AnyPath | None = None,
    mean: "Sequence[float] | str | None" = None,
    std: "Sequence[float] | str | None" = None,
    resize: int | None = None,
    crop: int | None = None,
    interpolation: str | None = None,
    output: str | int | None = None,
) -> "list[LayerRow]":
    """Return the layers of a network that ``probe`` can compare, the usual ones first.

    Args:
        model: As for ``evaluate``.
        protocol: Whose images it is asked about; digits-linf unless given.
        data: Images instead of the protocol's, as for ``evaluate``.
        data_dir: The folder with the public archives of a data set.
        weights: A file of weights instead of the model's own.
        mean: What to subtract from pixels, as for ``evaluate``, like what follows.
        std: What to divide them by.
        resize: The shorter side that images are brought to.
        crop: What is cut out of their middle.
        interpolation: How they are resized.
        output: Which entry of the network's answer is the logits, as for ``evaluate``.

    Raises:
        ClbenchError: As ``evaluate``.

    >>> [row.layer for row in list_layers("simclr_at") if row.is_usual][:3]
    ['stem', 'stage1.0', 'stage1.1']
    """
    from clbench.data.load import evaluated_images
    from clbench.models.load import load_model
    from clbench.models.preprocessing import read_preprocessing
    from clbench.models.validate import adapted
    from clbench.probes.listing import list_layers
    from clbench.schema.protocol import DEFAULT_PROTOCOL, find_protocol

    settled = find_protocol(protocol or DEFAULT_PROTOCOL)
    images, dataset = evaluated_images(
        settled,
        data,
        named=protocol is not None,
        n_examples=None,
        data_dir=path_or_none("data_dir", data_dir),
    )
    _, c, h, w = images.images.shape
    loaded = load_model(
        model,
        dataset=dataset,
        n_classes=images.n_classes,
        shape=(c, h, w),
        weights=path_or_none("weights", weights),
        preprocessing=read_preprocessing(
            mean=mean, std=std, resize=resize, crop=crop, interpolation=interpolation
        ),
    )
    some = images.images[:2].clone()
    return list_layers(adapted(loaded.network, some, output), some)


def load_data(
    data: "Data",
    *,
    n_examples: int | None = None,
    data_dir: AnyPath | None = None,
    download: bool = False,
) -> "ImageSet":
    """Return the test images of a data set, or images from a file or from memory.

    Args:
        data: As for ``evaluate``.
        n_examples: The first so many.
        data_dir: The folder with the public archives of a data set.
        download: Whether to fetch a data set that is not there.

    Raises:
        ClbenchError: They are missing, unreadable or wrong.

    >>> len(load_data("digits"))
    360
    """
    from clbench.data.load import load_images

    return load_images(
        data,
        n_examples=n_examples,
        data_dir=path_or_none("data_dir", data_dir),
        download=download,
    )


def diagnose() -> "list[Row]":
    """Return one row for each known defect of an installation, found or not."""
    from clbench.diagnosis.diagnose import diagnose

    return diagnose()
