"""``preprocessor_config.json``, where Hugging Face's networks say what they see."""

import json
import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clbench.models.normalization import INTERPOLATIONS
from clbench.models.preprocessing import (
    BY_PROCESSOR,
    LARGEST_SIDE,
    PROCESSOR,
    Preprocessing,
    read_normalisation,
)
from clbench.schema.errors import BadValueError, ModelError
from clbench.schema.files import read_file
from clbench.schema.text import shown

log = logging.getLogger(__name__)

_MOST_BYTES = 1 << 20

_RESAMPLE = {0: "nearest", 2: "bilinear", 3: "bicubic"}
"""Pillow's numbers of the ways to resize that tensors have too."""

_SAYS_NOTHING = (
    *("image_processor_type", "feature_extractor_type", "processor_class", "auto_map"),
    *("_processor_class", "_valid_processor_keys", "data_format", "input_data_format"),
    *("do_convert_rgb", "return_tensors", "device", "disable_grouping", "default_to_square"),
    *("num_channels", "do_reduce_labels", "reduce_labels"),
)
"""Fields that change no image of pixels in [0, 1]."""

_READ = (
    *("do_resize", "size", "resample", "do_center_crop", "crop_size", "do_normalize"),
    *("image_mean", "image_std", "do_rescale", "rescale_factor"),
)

_BYTES, _HUGE = 255, 1e9


def read_beside(weights: Path, shape: tuple[int, int, int]) -> Preprocessing | None:
    """Return what the file beside weights says that their network sees; None where none is there.

    Args:
        weights: The file of these.
        shape: Channels, height and width of the images.

    Raises:
        ModelError: The file cannot be read, or says what cannot be done here, which is named.
    """
    path = weights.with_name(PROCESSOR)
    return read_image_processor(path, shape) if path.is_file() else None


def read_carried(
    weights: Path | None, shape: tuple[int, int, int], given: Preprocessing | None
) -> Preprocessing | None:
    """Return what the file beside weights says, where nobody says it by hand; else say a conflict.

    Raises:
        ModelError: As for ``read_beside``, where nobody says it by hand.
    """
    if weights is None:
        return None
    if given is None:
        return read_beside(weights, shape)
    try:
        found = read_beside(weights, shape)
    except ModelError:
        return None  # what it says is replaced
    if found is not None and found._replace(by=given.by) != given:
        log.warning("images are %s; %s beside %s says %s", given, PROCESSOR, weights.name, found)
    return None


def read_image_processor(path: Path, shape: tuple[int, int, int]) -> Preprocessing | None:
    """Return what a ``preprocessor_config.json`` says; None where that is nothing.

    Raises:
        ModelError: As for ``read_beside``.
    """
    table = _table(path)
    for key, value in table.items():
        if key not in (*_SAYS_NOTHING, *_READ) and value not in (None, False):
            raise _cannot(path, key, value)
    resize, mode = _resize(path, table, shape)
    crop = _crop(path, table, resize)
    mean, std = _normalisation(path, table, shape[0])
    if not (resize or crop or mean):
        return None
    return Preprocessing(resize, crop, mode, mean, std, by=BY_PROCESSOR)


def _table(path: Path) -> dict[str, Any]:
    try:
        table = json.loads(read_file(path, _MOST_BYTES))
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}; fetch it again") from error
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path} is cut off or no JSON; fetch it again") from error
    if not isinstance(table, dict):
        raise ModelError(f"{path} must be a table, got {shown(table)}; fetch it again")
    return table


def _cannot(path: Path, key: str, value: object) -> ModelError:
    return ModelError(
        f"{path} says {shown(key)}: {shown(value)}, which is not done here; say by hand what "
        "stands before the network: --resize, --crop, --interpolation, --mean and --std"
    )


def _is_on(path: Path, table: Mapping[str, Any], key: str, *, unless_told: bool) -> bool:
    value = table.get(key)
    if value is None:
        return unless_told
    if not isinstance(value, bool):
        raise _cannot(path, key, value)
    return value


def _resize(
    path: Path, table: Mapping[str, Any], shape: tuple[int, int, int]
) -> tuple[int | tuple[int, int] | None, str]:
    """Return the shorter side, or both, that images are brought to, and how."""
    size, resample = table.get("size"), table.get("resample")
    if not _is_on(path, table, "do_resize", unless_told=size is not None):
        return None, "bilinear"
    if resample not in _RESAMPLE or isinstance(resample, bool):
        raise _cannot(path, "resample", resample)
    mode = INTERPOLATIONS[_RESAMPLE[resample]].value
    match size:
        case {"shortest_edge": int(side), **others} if not others:
            return _side(path, "size", side), mode
        case {"height": int(height), "width": int(width), **others} if not others:
            return (_side(path, "size", height), _side(path, "size", width)), mode
        case int(side) if shape[1] == shape[2]:  # of the shorter side, or of both: it is the same
            return _side(path, "size", side), mode
        case _:
            raise _cannot(path, "size", size)


def _crop(path: Path, table: Mapping[str, Any], resize: int | tuple[int, int] | None) -> int | None:
    size = table.get("crop_size")
    if not _is_on(path, table, "do_center_crop", unless_told=False):
        return None
    match size:
        case {"height": int(side), "width": int(width), **others} if side == width and not others:
            pass
        case int(side):
            pass
        case _:
            raise _cannot(path, "crop_size", size)
    shortest = min(resize) if isinstance(resize, tuple) else resize
    if shortest is not None and side > shortest:
        raise _cannot(path, "crop_size", size)  # it would put black around images
    return _side(path, "crop_size", side)


def _side(path: Path, key: str, side: int) -> int:
    if isinstance(side, bool) or not 1 <= side <= LARGEST_SIDE:
        raise _cannot(path, key, side)
    return side


def _normalisation(
    path: Path, table: Mapping[str, Any], channels: int
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the mean and deviation of pixels in [0, 1]; nothing where nothing is done.

    Where pixels are not brought there, but stay from 0 to 255, they are those of bytes.
    """
    mean, std = table.get("image_mean"), table.get("image_std")
    factor = table.get("rescale_factor")
    rescales = _is_on(path, table, "do_rescale", unless_told=True)
    if rescales and factor is not None and not _is_of_bytes(factor):
        raise _cannot(path, "rescale_factor", factor)
    if not _is_on(path, table, "do_normalize", unless_told=mean is not None):
        if not rescales:
            raise _cannot(path, "do_rescale", False)
        return (), ()
    try:
        found = read_normalisation(_floats(mean), _floats(std))
    except BadValueError as error:
        raise _cannot(path, "image_mean", mean) from error
    if len(found[0]) != channels:
        raise _cannot(path, "image_mean", mean)
    if not rescales:
        return tuple(one / _BYTES for one in found[0]), tuple(one / _BYTES for one in found[1])
    return found


def _is_of_bytes(factor: object) -> bool:
    is_number = isinstance(factor, int | float) and not isinstance(factor, bool)
    return is_number and math.isclose(float(factor), 1 / _BYTES)  # type: ignore[arg-type]


def _floats(numbers: object) -> list[float] | str:
    """Return the numbers of a list of JSON; what is none as text, which is refused."""
    if not isinstance(numbers, list) or not numbers:
        return shown(numbers)
    if not all(isinstance(one, int | float) and abs(one) < _HUGE for one in numbers):
        return shown(numbers)
    return [float(one) for one in numbers]
