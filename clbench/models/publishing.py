"""A network as a hub has it: what ``config.json`` says of it, for timm and for whoever reads."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
from torch import nn

from clbench.data.datasets import DATASETS
from clbench.models.argument import read_argument
from clbench.models.backbones.architecture import Architecture, named
from clbench.models.families import OURS, timm_name
from clbench.models.interface import LoadedModel, Wanted
from clbench.models.load import load_model
from clbench.models.names import is_folder
from clbench.models.normalization import NONE
from clbench.models.sources import folder, head_folder
from clbench.models.sources.hub_config import OWN
from clbench.models.zoo import find_spec, zoo_names
from clbench.runtime.hashing import state_sha256
from clbench.schema.dataclass_io import read_json
from clbench.schema.errors import BadValueError
from clbench.schema.head import ENTRY as HEAD
from clbench.schema.head import OWN_CODE
from clbench.schema.imported import ENTRY, ImportedModel
from clbench.schema.names import spelled
from clbench.schema.version import __version__

_SIDE_OF_SMALL, _SIDE = 32, 224
"""Of the images that families of clbench's own, and torchvision's, are mostly for."""

_PLAIN = {"crop_pct": 1.0, "interpolation": "bicubic", "fixed_input_size": False}
"""What stands in the place of timm's own configuration of an architecture."""

_NOT_KEPT = (
    "architecture",
    "tag",
    "label_names",
    "label_descriptions",
    "label_offset",
    "origin_url",
)
"""What timm's configuration says of its own weights."""


@dataclass(frozen=True, eq=False)
class Publication:
    """What goes to a hub: the network, its names and its ``config.json``.

    Attributes:
        name: What it is called.
        network: With its weights.
        config: The content of ``config.json``.
        licence: By its identifier, "" where it is that of somebody else's checkpoint.
        about: What is to be told of it, in words, by what it is.
        known_by: Hashes of its weights, of a file and of a state, as records have them.
    """

    name: str
    network: nn.Module
    config: Mapping[str, Any]
    licence: str
    about: Mapping[str, str]
    known_by: frozenset[str]

    @property
    def needs_clbench(self) -> bool:
        """Whether timm builds it only where clbench is installed too."""
        return self.config["architecture"] in OURS


def publication(model: str) -> Publication:
    """Return what a hub is to have of a model.

    Args:
        model: A zoo name with its tag, or a folder that ``import_checkpoint``, ``train`` or
            ``fit_head`` made.

    Raises:
        BadValueError: It is another model.
        ClbenchError: It cannot be loaded.
    """
    given = read_argument(model)
    if is_folder(given.what) and (Path(given.what) / ENTRY).is_file():
        return _of_import(Path(given.what), given.name)
    if is_folder(given.what) and (Path(given.what) / HEAD).is_file():
        return _of_head(Path(given.what), given.name)
    is_zoos = spelled(given.what, zoo_names()) in zoo_names()
    if not is_zoos and not (is_folder(given.what) and folder.trained_as(Path(given.what))):
        raise BadValueError(
            "what is published must be a zoo name with its tag, such as simclr_at.digits, or a "
            f"folder that clbench import, train or head made, got {model!r}"
        )
    told = spelled(given.what, zoo_names()) if is_zoos else folder.trained_as(Path(given.what))
    loaded = load_model(given.what, dataset=find_spec(told, None).dataset, weights=given.weights)
    name = told if is_zoos else Path(given.what).resolve().name
    return _of_trained(given.name or name, loaded)


def _of_trained(name: str, loaded: LoadedModel) -> Publication:
    info = DATASETS[loaded.tag]
    architecture = named(loaded.backbone, info.n_classes, info.shape[0])[0]
    cfg = {
        "input_size": info.shape,
        "mean": (0.0,) * info.shape[0],
        "std": (1.0,) * info.shape[0],
        "tag": loaded.tag,
        "license": "mit",
    }
    about = {
        "Trained as": f"{loaded.name} on {loaded.tag}",
        "Scheme and scenario": f"{loaded.scheme or 'unknown'}, {loaded.scenario or 'unknown'}",
        "Recipe": loaded.recipe_sha256 or "unknown",
    }
    config = _config(
        loaded, architecture, cfg, n_classes=info.n_classes, names=info.class_names, resizes=True
    )
    return _published(name, loaded, config, about, licence="mit")


def _of_import(place: Path, name: str) -> Publication:
    entry = read_json(place / ENTRY, ImportedModel, "imported model", remedy=folder.REMEDY)
    wanted = Wanted(None, (len(entry.mean), 1, 1), entry.n_classes, "Linf", None, or_more=True)
    loaded = folder.load(place, wanted)
    architecture = Architecture(entry.family, entry.architecture, entry.options)
    cfg = {
        "input_size": (len(entry.mean), *_sides(architecture)),
        "mean": entry.mean,
        "std": entry.std,
    }
    about = {
        "Imported from": f"{entry.source_file}, sha256 {entry.file_sha256}",
        "Dialect": f"{entry.dialect}: {entry.evidence}",
        **{key.replace("_", " ").capitalize(): by for key, by in entry.decided.items()},
    }
    config = _config(loaded, architecture, cfg, n_classes=entry.n_classes, names=(), resizes=False)
    return _published(name or entry.name, loaded, config, about, licence="")


def _of_head(place: Path, name: str) -> Publication:
    entry = head_folder.read_entry(place)
    if entry.family == OWN_CODE:
        raise BadValueError(
            f"{str(place)!r} is a network of {entry.architecture}, which a hub's config.json "
            "cannot name; publish the code and the weights yourself"
        )
    if entry.seen.interpolation:
        raise BadValueError(
            f"{str(place)!r} resizes its images ({entry.seen.words}), which a hub's config.json "
            "cannot say; fit the head on images of their final size"
        )
    channels, height, width = entry.shape
    size = (channels, height, width)
    loaded = folder.load(place, Wanted(None, size, entry.n_classes, "Linf", None))
    architecture = Architecture(entry.family, entry.architecture, entry.options)
    cfg = {
        "input_size": size,
        "mean": entry.seen.mean or (0.0,) * channels,
        "std": entry.seen.std or (1.0,) * channels,
    }
    seeds = ", ".join(map(str, entry.head.seeds))
    about = {
        "Encoder": entry.encoder_source,
        "Classifier": f"{entry.head.method}, seed {entry.seed} of {seeds}",
        "Recipe": entry.recipe_sha256,
    }
    config = _config(loaded, architecture, cfg, n_classes=entry.n_classes, names=(), resizes=False)
    return _published(name or entry.name, loaded, config, about, licence="")


def _sides(architecture: Architecture) -> tuple[int, int]:
    """Return height and width of the images that an architecture is mostly for."""
    if "img_size" in architecture.options:
        side = architecture.options["img_size"]
        return (side, side) if isinstance(side, int) else tuple(side)
    if architecture.family == "timm":
        cfg = timm.get_pretrained_cfg(architecture.name)
        return tuple(cfg.input_size[1:]) if cfg else (_SIDE, _SIDE)
    side = _SIDE if architecture.family == "torchvision" else _SIDE_OF_SMALL
    return side, side


def _config(
    loaded: LoadedModel,
    architecture: Architecture,
    cfg: Mapping[str, Any],
    *,
    n_classes: int,
    names: tuple[str, ...],
    resizes: bool,
) -> dict[str, Any]:
    """Return ``config.json`` as timm's ``save_for_hf`` has it, and what clbench adds."""
    called, options = timm_name(architecture)
    known = timm.get_pretrained_cfg(called) if called not in OURS else None
    base = known.to_dict(remove_source=True) if known else _PLAIN
    first = base.get("first_conv") if len(cfg["mean"]) == 3 else None  # noqa: PLR2004 - colours
    features = getattr(loaded.network, "num_features", None)
    return {
        "architecture": called,
        "num_classes": n_classes,
        **({"num_features": features} if isinstance(features, int) else {}),
        **({"label_names": list(names)} if names else {}),
        **({"model_args": options} if options else {}),
        "pretrained_cfg": {
            **{key: value for key, value in base.items() if key not in _NOT_KEPT},
            **cfg,
            "num_classes": n_classes,
            "first_conv": first,  # timm would start others than those of colours anew
            "classifier": base.get("classifier", "fc"),
            "custom_load": False,
        },
        OWN: {
            "version": __version__,
            "weights_sha256": state_sha256(loaded.network),
            "resizes": resizes,
            "needs": "pip install clbench; import clbench.models" if called in OURS else "timm",
        },
    }


def _published(
    name: str,
    loaded: LoadedModel,
    config: Mapping[str, Any],
    about: Mapping[str, str],
    *,
    licence: str,
) -> Publication:
    hashes = {loaded.weights_sha256, loaded.file_sha256, config[OWN]["weights_sha256"]}
    seen = loaded.preprocessing if loaded.preprocessing != NONE else "not normalised"
    told = {
        "Architecture": f"{loaded.backbone}, as {config['architecture']} of timm",
        "Inputs": f"images of pixels in [0, 1], {seen}",
        "Outputs": f"{config['num_classes']} logits" if config["num_classes"] else "features",
        **about,
        "Weights": f"sha256 of the state {config[OWN]['weights_sha256']}",
    }
    known_by = frozenset(one for one in hashes if one)
    return Publication(name, loaded.network, config, licence, told, known_by)
