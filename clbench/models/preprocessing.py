"""What is said to stand before a network: a size, a middle part, a normalisation."""

import re
from collections.abc import Sequence
from math import isfinite
from typing import NamedTuple

from torch import nn

from clbench.models.normalization import INTERPOLATIONS, Normalise, Resize
from clbench.schema.errors import BadValueError
from clbench.schema.names import look_up
from clbench.schema.numbers import whole
from clbench.schema.text import shown

Numbers = Sequence[float] | str
"""A number for each channel, as text with commas between them too."""

PROCESSOR = "preprocessor_config.json"
"""The file beside weights in which Hugging Face's networks have it."""

BY_HAND, BY_PROCESSOR = "by hand", f"by {PROCESSOR}"
"""What ends the words of a record for it."""

LARGEST_SIDE = 10_000

_WORDS = re.compile(
    r"(?:resized to (?P<resize>\d+(?:x\d+)?) \((?P<interpolation>\w+)\), )?"
    r"(?:cropped to (?P<crop>\d+), )?"
    r"(?:normalised by mean (?P<mean>[^ ]+) and std (?P<std>[^ ]+), )?"
    rf"(?P<by>{BY_HAND}|{re.escape(BY_PROCESSOR)})"
)


class Preprocessing(NamedTuple):
    """What is done to images in [0, 1] before a network, in this order, as a part of it.

    Attributes:
        resize: The length of the shorter side, or height and width; None where images stay as large
            as they are.
        crop: The side of the square that is cut out of the middle, None where nothing is cut off.
        interpolation: How images are resized: bilinear, bicubic or nearest.
        mean: Subtracted then, a number per channel; none where nothing is.
        std: What they are divided by then.
        by: Who says so, ``BY_HAND`` or ``BY_PROCESSOR``.
    """

    resize: int | tuple[int, int] | None
    crop: int | None
    interpolation: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    by: str = BY_HAND

    def put_before(self, network: nn.Module, channels: int) -> None:
        """Make it a part of a network for images of so many channels.

        Raises:
            BadValueError: There are not as many means as channels.
        """
        if self.mean and len(self.mean) != channels:
            raise BadValueError(
                f"--mean must be {channels} numbers, one for each channel of the images, got "
                f"{len(self.mean)}"
            )
        if self.resize or self.crop:
            square = (self.crop, self.crop) if self.crop else None
            sides = self.resize if isinstance(self.resize, tuple) else (self.resize,)
            scaled = [side for side in sides if side] or None
            network.register_forward_pre_hook(Resize(scaled, square, self.interpolation))
        if self.mean:
            network.register_forward_pre_hook(Normalise(self.mean, self.std))

    def __str__(self) -> str:
        """Return it as records have it, every digit of it."""
        sides = self.resize if isinstance(self.resize, tuple) else (self.resize,)
        size = "x".join(map(str, sides))
        steps = [f"resized to {size} ({self.interpolation})"] if self.resize else []
        steps += [f"cropped to {self.crop}"] if self.crop else []
        mean, std = (",".join(map(repr, part)) for part in (self.mean, self.std))
        steps += [f"normalised by mean {mean} and std {std}"] if self.mean else []
        return ", ".join([*steps, self.by])


def read_preprocessing(
    *,
    mean: Numbers | None = None,
    std: Numbers | None = None,
    resize: int | str | None = None,
    crop: int | str | None = None,
    interpolation: str | None = None,
) -> Preprocessing | None:
    """Return what was said, checked; None where nothing was.

    Raises:
        BadValueError: One of mean and std was left out, they are no numbers, a side is no count, or
            an interpolation was given where nothing is resized.
        UnknownNameError: There is no such interpolation.

    >>> str(read_preprocessing(mean="0.5", std="0.25", resize=16))
    'resized to 16 (bilinear), normalised by mean 0.5 and std 0.25, by hand'
    """
    if all(one is None for one in (mean, std, resize, crop, interpolation)):
        return None
    if interpolation is not None and resize is None:
        raise BadValueError("--interpolation has no effect without --resize; leave it out")
    side, middle = (
        None if given is None else whole(name, given, 1, LARGEST_SIDE)
        for name, given in (("--resize", resize), ("--crop", crop))
    )
    if side and middle and middle > side:
        raise BadValueError(f"--crop must be at most --resize, {side}, got {middle}")
    mode = look_up(INTERPOLATIONS, interpolation or "bilinear", "interpolation")
    return Preprocessing(side, middle, mode.value, *read_normalisation(mean, std))


def read_normalisation(
    mean: Numbers | None, std: Numbers | None
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return a mean and a deviation per channel; nothing where nothing was said.

    Raises:
        BadValueError: One of them was left out, or they are no numbers, or of other channels.
    """
    if (mean is None) != (std is None):
        missing = "std" if std is None else "mean"
        raise BadValueError(f"give --mean and --std together, got no {missing}")
    if mean is None or std is None:
        return (), ()
    found = _numbers("mean", mean), _numbers("std", std)
    if len(found[0]) != len(found[1]) or min(found[1]) <= 0:
        raise BadValueError(
            f"std must be above 0, one number for each of the mean's, got mean {shown(mean)} and "
            f"std {shown(std)}"
        )
    return found


def of_words(words: str | None) -> Preprocessing | None:
    """Return what a record says that was put before its network by hand or by a file beside it.

    None where nothing was.

    Raises:
        BadValueError: As ``read_preprocessing``.
    """
    found = _WORDS.fullmatch(words or "")
    if found is None:
        return None
    said = found.groupdict()
    by, (height, _, width) = said.pop("by"), (said["resize"] or "").partition("x")
    given = read_preprocessing(**said | {"resize": height or None})
    if given is None or not width:
        return given and given._replace(by=by)
    both = (int(height), whole("width", width, 1, LARGEST_SIDE))
    return given._replace(by=by, resize=both)


def _numbers(what: str, given: Numbers) -> tuple[float, ...]:
    parts = given.split(",") if isinstance(given, str) else given
    try:
        found = tuple(float(part) for part in parts)
    except (TypeError, ValueError) as error:
        raise BadValueError(_wanted(what, given)) from error
    if not found or not all(map(isfinite, found)):
        raise BadValueError(_wanted(what, given))
    return found


def _wanted(what: str, given: object) -> str:
    return f"{what} must be a number per channel, such as 0.485,0.456,0.406, got {shown(given)}"
