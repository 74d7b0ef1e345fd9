"""Makes every zoo model a timm model, under timm's own name and the one RobustBench asks for."""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from timm.models import (
    build_model_with_cfg,
    generate_default_cfgs,
    is_model,
    model_entrypoint,
    register_model,
)
from torch import Tensor, nn

from clbench.models.backbones.resnet import BACKBONES, CifarResNet
from clbench.models.spec import ModelSpec
from clbench.models.weights import locate, no_weights_yet
from clbench.models.zoo import WEIGHTS_DIR, ZOO
from clbench.schema.errors import ModelError, WeightsError

log = logging.getLogger(__name__)

__all__ = ["register"]  # timm adds the name of each model to it

ROBUSTBENCH_DATASETS = ("cifar10", "cifar100")
"""The data sets of the zoo that RobustBench has too."""

ZOO_NORM = "linf"
"""The threat model that zoo models are listed under, in RobustBench's lower-case spelling."""

_SOURCES = ("state_dict", "file", "url", "hf_hub_id")
"""The fields by which a timm configuration says where weights are."""


def robustbench_name(spec: ModelSpec) -> str:
    """Return the timm name that ``robustbench.utils.load_model`` makes of a model's name."""
    return f"{spec.name}_{spec.dataset}_{ZOO_NORM}"


def register() -> None:
    """Register all zoo models in timm.

    A name that somebody else took before stays theirs in timm, which is said; whoever asks clbench
    for a model of the zoo gets the zoo's own.
    """
    for name, specs in _architectures().items():
        if not is_model(name):
            register_model(_entrypoint(name, specs))
        elif owner_of(name) != __name__:
            log.warning(
                "timm model '%s' is %s's; clbench's own is --model %s, or clbench.load_model('%s')",
                *(name, owner_of(name), name, name),
            )


def owner_of(name: str) -> str:
    """Return the module that registered a timm name, with or without a tag; "" where none did."""
    stem = name.partition(".")[0]
    return str(model_entrypoint(stem).__module__) if is_model(stem) else ""


def check_owner(name: str) -> None:
    """Check that a timm name which the zoo has is the zoo's own in timm too.

    Raises:
        ModelError: Somebody else registered it, before or after clbench.
    """
    stem, owner = name.partition(".")[0], owner_of(name)
    if stem in _architectures() and owner != __name__:
        raise ModelError(
            f"timm model {stem!r} was registered by clbench and by {owner!r}; "
            f"clbench's own is --model {stem}, rename the other one to evaluate it"
        )


def zoo_row(name: str) -> ModelSpec | None:
    """Return the row of the zoo that a timm name, with or without a tag, is of; None if of none."""
    stem, _, tag = name.partition(".")
    rows = _architectures().get(stem, {})
    return rows.get(tag) if tag else next(iter(rows.values()), None)


def create(spec: ModelSpec) -> nn.Module:
    """Return a row's network with its weights, whoever registered its name in timm.

    Raises:
        WeightsError: There are no weights yet, or they are not those of the row.
    """
    cfg = default_cfgs[spec.name].cfgs[spec.dataset]
    cfg = replace(cfg, file=None, architecture=spec.name, tag=spec.dataset)
    build = _entrypoint(spec.name, _architectures()[spec.name])
    return build(pretrained=True, pretrained_cfg=cfg)


def _architectures() -> dict[str, dict[str, ModelSpec]]:
    """Return the rows of each timm name, by tag; the first is the default."""
    tagged: dict[str, dict[str, ModelSpec]] = {}
    for spec in ZOO:
        tagged.setdefault(spec.name, {})[spec.dataset] = spec
    untagged = {
        robustbench_name(spec): {"": spec} for spec in ZOO if spec.dataset in ROBUSTBENCH_DATASETS
    }
    return tagged | untagged


def _timm_cfg(spec: ModelSpec) -> dict[str, Any]:
    channels, height, width = spec.info.shape
    weights = {"file": str(WEIGHTS_DIR / spec.weights.file)} if spec.weights else {}
    return {
        **weights,
        "custom_load": True,  # timm's own loader takes every first convolution for one of RGB
        "input_size": spec.info.shape,
        "pool_size": (height // 8, width // 8),
        "num_classes": spec.info.n_classes,
        "mean": (0.0,) * channels,
        "std": (1.0,) * channels,
        "crop_pct": 1.0,
        "interpolation": "bicubic",
        "first_conv": "conv1",
        "classifier": "fc",
        "license": "mit",
        "paper_ids": "arXiv:2302.02502",
        "description": f"{spec.name} on {spec.dataset}, inputs in [0, 1]",
    }


default_cfgs: Mapping[str, Any] = generate_default_cfgs(
    {
        f"{name}.{tag}" if tag else name: _timm_cfg(spec)
        for name, specs in _architectures().items()
        for tag, spec in specs.items()
    }
)
"""What timm knows of each model; timm looks it up under this name."""


def _entrypoint(name: str, specs: Mapping[str, ModelSpec]) -> Callable[..., nn.Module]:
    def create(pretrained: bool = False, **options: Any) -> nn.Module:  # noqa: ANN401 - timm's
        cfg = options.get("pretrained_cfg")
        spec = specs.get(_tag_of(cfg), next(iter(specs.values())))
        overlay = dict(options.pop("pretrained_cfg_overlay", None) or {})
        ours = pretrained and not _has_source(overlay) and not _has_source(cfg)
        # RobustBench always asks for weights, and loads its custom_checkpoint only afterwards
        later = ours and "" in specs and not (spec.weights or options.get("features_only"))
        if ours and not later:
            overlay |= {"file": str(locate(spec)), "custom_load": True}
        network: nn.Module = build_model_with_cfg(
            CifarResNet,
            name,
            pretrained and not later,
            pretrained_cfg_overlay=overlay or None,
            **BACKBONES[spec.backbone].options | options,
        )
        if later:
            _UntilLoaded(no_weights_yet(spec)).guard(network)
        return network

    create.__name__ = create.__qualname__ = name
    create.__module__ = __name__
    create.__doc__ = f"Build {name}: {', '.join(spec.full_name for spec in specs.values())}."
    return create


def _tag_of(cfg: Any) -> str:  # noqa: ANN401 - timm passes a tag, a table or its own type
    if isinstance(cfg, str):
        return cfg
    return str(_field(cfg, "tag") or "")


def _has_source(cfg: Any) -> bool:  # noqa: ANN401 - as above
    return any(_field(cfg, key) for key in _SOURCES)


def _field(cfg: Any, key: str) -> Any:  # noqa: ANN401 - as above
    return cfg.get(key) if isinstance(cfg, Mapping) else getattr(cfg, key, None)


class _UntilLoaded:
    """Refuses every forward pass of a network that was promised weights, until it has some."""

    def __init__(self, message: str) -> None:
        self.message = message

    def guard(self, network: nn.Module) -> None:
        network.get_submodule("conv1").register_forward_pre_hook(self.refuse)
        network.register_load_state_dict_post_hook(self.lift)  # type: ignore[no-untyped-call] # torch

    def refuse(self, _module: nn.Module, _inputs: tuple[Tensor, ...]) -> None:
        if self.message:
            raise WeightsError(self.message)

    def lift(self, _module: nn.Module, keys: tuple[Iterable[str], Iterable[str]]) -> None:
        if not any(keys):
            self.message = ""
