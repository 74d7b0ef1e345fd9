"""Makes every family of networks that timm has not a timm model: what hub folders name."""

from collections.abc import Callable
from functools import partial
from typing import Any

from timm.models import build_model_with_cfg, is_model, register_model
from torch import nn

from clbench.models.backbones.architecture import CLASSES, FAMILIES, Architecture
from clbench.models.register import owner_of
from clbench.schema.errors import ModelError

__all__ = ["register_families"]  # timm adds the name of each model to it

_PREFIX = "clbench_"

OURS = {f"{_PREFIX}{family}": family for family in FAMILIES if family != "timm"}
"""The names under which timm builds these families, once clbench.models is imported."""


def register_families() -> None:
    """Register the families in timm; a name that somebody else took stays theirs."""
    for name, family in OURS.items():
        if not is_model(name):
            register_model(_entrypoint(name, family))


def check_owner_of_family(name: str) -> None:
    """Check that a family's name is clbench's own in timm too.

    Raises:
        ModelError: Somebody else registered it.
    """
    if name in OURS and (owner := owner_of(name)) != __name__:
        raise ModelError(
            f"timm model {name!r} was registered by {owner!r}, and clbench needs it for folders of "
            "its own; rename the other one"
        )


def timm_name(architecture: Architecture) -> tuple[str, dict[str, Any]]:
    """Return what timm calls an architecture, and from which options it builds it.

    Classes and channels are left out, which timm's configuration has.

    >>> timm_name(Architecture("timm", "resnet50", {"num_classes": 10, "in_chans": 3}))
    ('resnet50', {})
    >>> timm_name(Architecture("torchvision", "resnet18", {"num_classes": 10}))
    ('clbench_torchvision', {'name': 'resnet18'})
    """
    options = {k: v for k, v in architecture.options.items() if k not in (CLASSES, "in_chans")}
    if architecture.family == "timm":
        return architecture.name, options
    return f"{_PREFIX}{architecture.family}", {"name": architecture.name, **options}


def _entrypoint(name: str, family: str) -> Callable[..., nn.Module]:
    def create(pretrained: bool = False, **options: Any) -> nn.Module:  # noqa: ANN401 - timm's
        network: nn.Module = build_model_with_cfg(
            partial(_build, family), name, pretrained, **options
        )
        return network

    create.__name__ = create.__qualname__ = name
    create.__module__ = __name__
    create.__doc__ = f"Build a network of clbench's family {family} from its options."
    return create


def _build(family: str, name: str = "", **options: Any) -> nn.Module:  # noqa: ANN401 - as above
    if family == "torchvision":  # whose networks are all for colours
        options.pop("in_chans", None)
    return Architecture(family, name or family, options).build()
