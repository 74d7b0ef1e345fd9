"""``config.json`` of a hub's folder, as timm writes it, checked before it is built from."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NoReturn

from timm.models import PretrainedCfg, is_model, list_models

from clbench.models.preprocessing import read_normalisation
from clbench.schema.errors import BadValueError, ModelError, UnknownNameError
from clbench.schema.files import read_file
from clbench.schema.names import closest
from clbench.schema.text import shown

CONFIG = "config.json"

OWN = "clbench"
"""The part of it that clbench adds, which timm passes over."""

_MOST_BYTES = 1 << 24
"""Of the file: label descriptions of 21,000 classes take three millions."""

_SOURCES = ("url", "file", "state_dict", "hf_hub_id", "hf_hub_filename", "source", "custom_load")
"""Where else timm would take weights from; here they are those of the folder."""

_NO_OPTIONS = ("pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "checkpoint_path")
"""Arguments of timm's ``create_model`` that are no options of a network: the last is unpickled."""

_LARGEST_SIDE, _MOST_CLASSES = 10_000, 10_000_000


@dataclass(frozen=True)
class HubConfig:
    """What a folder says of its network.

    Attributes:
        architecture: A name of timm's.
        options: What it is built from besides, as timm's ``create_model`` takes it.
        n_classes: Outputs; 0 where there is no classifier.
        cfg: timm's ``pretrained_cfg``, without places where weights are.
        label_names: Of the classes in their order; none where they are not told.
        resizes: Whether images of another size than the network's are brought to it.
    """

    architecture: str
    options: dict[str, Any]
    n_classes: int
    cfg: dict[str, Any]
    label_names: tuple[str, ...]
    resizes: bool

    @property
    def input_size(self) -> tuple[int, int, int]:
        """Channels, height and width of what the network was trained on."""
        channels, height, width = self.cfg["input_size"]
        return channels, height, width


def read_config(folder: Path, called: str) -> HubConfig:
    """Return what ``config.json`` in a folder says.

    Args:
        folder: Of the network.
        called: What messages call it.

    Raises:
        ModelError: The file cannot be read, is no timm network's, or has a field that cannot be.
        UnknownNameError: There is no such architecture.
    """
    table = _read(folder / CONFIG, called)
    told = table.get("pretrained_cfg", table)  # older files have all in one table
    if not isinstance(told, dict):
        _refuse(called, "pretrained_cfg", told, "a table")
    architecture = table.get("architecture")
    if not isinstance(architecture, str):
        raise ModelError(_not_timms(called, table))
    if not is_model(architecture):
        near = closest(architecture, list_models())
        hint = f"did you mean {near!r}?" if near else "a newer timm may have it"
        raise UnknownNameError(
            f"model {called!r}: {CONFIG} names an architecture that timm has not, "
            f"{shown(architecture)}; {hint}"
        )
    n_classes = table.get("num_classes", told.get("num_classes"))
    if not isinstance(n_classes, int) or not _is_whole(n_classes, 0, _MOST_CLASSES):
        _refuse(called, "num_classes", n_classes, "a number of classes")
    options, own = table.get("model_args") or {}, table.get(OWN) or {}
    if not isinstance(options, dict) or not options.keys().isdisjoint(_NO_OPTIONS):
        _refuse(called, "model_args", options, "options of a network")
    if not isinstance(own, dict):
        _refuse(called, OWN, own, "a table")
    return HubConfig(
        architecture=architecture,
        options=options,
        n_classes=n_classes,
        cfg=_cfg(told, called),
        label_names=_names(table, told, n_classes),
        resizes=own.get("resizes", True) is not False,
    )


def _read(path: Path, called: str) -> dict[str, Any]:
    try:
        table = json.loads(read_file(path, _MOST_BYTES))
    except OSError as error:
        raise ModelError(
            f"model {called!r}: {CONFIG} cannot be read: {error.strerror}; fetch it again"
        ) from error
    except (ValueError, RecursionError) as error:
        raise ModelError(
            f"model {called!r}: {CONFIG} is cut off or no JSON; fetch it again"
        ) from error
    if not isinstance(table, dict):
        _refuse(called, "it", table, "a table")
    return table


def _not_timms(called: str, table: Mapping[str, Any]) -> str:
    kinds = table.get("architectures") or table.get("model_type")
    of = f"a network of transformers, {shown(kinds)}" if kinds else "of no network of timm"
    return (
        f"model {called!r}: {CONFIG} is of {of}: it names no 'architecture'; build it by "
        "FILE.py:FACTORY, and give its file with --weights"
    )


def _cfg(told: Mapping[str, Any], called: str) -> dict[str, Any]:
    """Return the fields that this timm knows, those checked that clbench reads too."""
    known = {one.name for one in fields(PretrainedCfg)} - {*_SOURCES, "label_names"}
    cfg = {key: value for key, value in told.items() if key in known}
    defaults = PretrainedCfg()
    size = cfg.setdefault("input_size", defaults.input_size)
    is_size = isinstance(size, Sequence) and len(size) == len(defaults.input_size)
    if not is_size or not all(_is_whole(side, 1, _LARGEST_SIDE) for side in size):
        _refuse(called, "input_size", size, "channels, height and width")
    cfg["input_size"] = tuple(size)
    for key in ("mean", "std"):
        cfg.setdefault(key, getattr(defaults, key))
    try:
        cfg["mean"], cfg["std"] = read_normalisation(_floats(cfg["mean"]), _floats(cfg["std"]))
    except BadValueError as error:
        raise ModelError(f"model {called!r}: {CONFIG}: {error}") from error
    if len(cfg["mean"]) != size[0]:
        _refuse(called, "mean", cfg["mean"], f"{size[0]} numbers")
    crop = cfg.setdefault("crop_pct", defaults.crop_pct)
    if isinstance(crop, bool) or not isinstance(crop, int | float) or not 0 < crop <= 1:
        _refuse(called, "crop_pct", crop, "a share above 0, at most 1")
    if not isinstance(cfg.setdefault("interpolation", defaults.interpolation), str):
        _refuse(called, "interpolation", cfg["interpolation"], "a name")
    return cfg


def _floats(numbers: Any) -> list[float] | str:  # noqa: ANN401 - whatever JSON has
    """Return numbers of JSON, which may be whole; what is no list of them as text."""
    is_list = isinstance(numbers, Sequence) and all(isinstance(one, int | float) for one in numbers)
    try:
        return [float(one) for one in numbers] if is_list else shown(numbers)
    except OverflowError:
        return shown(numbers)


def _names(table: Mapping[str, Any], told: Mapping[str, Any], n_classes: int) -> tuple[str, ...]:
    """Return the names of classes; none where they are not as many as these, or have gaps."""
    names = table.get("label_names") or told.get("label_names") or told.get("labels") or ()
    whole = isinstance(names, list) and len(names) == n_classes
    return tuple(names) if whole and all(isinstance(one, str) for one in names) else ()


def _is_whole(value: object, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _refuse(called: str, field: str, got: object, wanted: str) -> NoReturn:
    raise ModelError(
        f"model {called!r}: {field} of {CONFIG} must be {wanted}, got {shown(got)}; fetch it again"
    )
