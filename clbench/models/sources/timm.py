"""Networks of timm: ``timm:NAME``."""

import timm

from clbench.models.interface import LoadedModel, Wanted, loaded_from_elsewhere
from clbench.models.normalization import normalise_inside
from clbench.schema.errors import (
    ClbenchError,
    ModelError,
    UnknownNameError,
    WeightsError,
    describe,
)
from clbench.schema.names import closest


def load(name: str, wanted: Wanted) -> LoadedModel:
    """Return timm's network for these images, with its pretrained weights or with a user's.

    With timm's pretrained weights, it normalises the images as these want; with others, it sees
    them as they are.

    Raises:
        UnknownNameError: timm has no such model.
        ModelError: It cannot be built for these images.
        WeightsError: The weights are of other classes, missing, damaged, or of another network.
    """
    cfg = _pretrained_cfg(name)
    pretrained = wanted.weights is None
    trained = getattr(cfg, "num_classes", wanted.n_classes)
    if pretrained and trained != wanted.n_classes:
        raise WeightsError(
            f"timm model '{name}' was trained on {trained} classes, the data has "
            f"{wanted.n_classes}; give other weights with --weights"
        )
    channels, *size = wanted.shape
    options = {"img_size": tuple(size)} if getattr(cfg, "fixed_input_size", False) else {}
    try:
        network = timm.create_model(
            name, pretrained, num_classes=wanted.n_classes, in_chans=channels, **options
        )
    except ClbenchError:
        raise
    except Exception as error:
        where = "with its pretrained weights" if pretrained else f"for images {list(wanted.shape)}"
        hint = "give a file with --weights" if pretrained else "choose another network"
        raise ModelError(
            f"timm model '{name}' cannot be built {where}: {describe(error)}; {hint}"
        ) from error
    if pretrained:
        normalise_inside(network, network.pretrained_cfg, channels)
    return loaded_from_elsewhere(
        network,
        f"timm:{name}",
        wanted.weights,
        source=f"timm {timm.__version__}",
        backbone=name.partition(".")[0],
    )


def _pretrained_cfg(name: str) -> object:
    known = timm.list_models(include_tags=True)
    if name in known or name in timm.list_models():
        return timm.get_pretrained_cfg(name)
    near = closest(name, [*timm.list_models(), *known])
    hint = f"did you mean '{near}'?" if near else "timm.list_models() lists them"
    raise UnknownNameError(f"unknown timm model {name!r}; {hint}")
