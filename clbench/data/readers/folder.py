"""Images and labels of the user's own, from a folder with one folder of pictures for each class."""

import logging
import os
import re
from collections.abc import Sequence
from itertools import chain, zip_longest
from pathlib import Path

import torch

from clbench.data.interface import Examples
from clbench.data.readers.photographs import photographs
from clbench.data.readers.pictures import Pictures
from clbench.schema.errors import DataError

log = logging.getLogger(__name__)

LAYOUT = "one folder of pictures (JPEG or PNG) for each class"

_PICTURES = (".jpg", ".jpeg", ".png")

_OTHER_PICTURES = (".bmp", ".gif", ".heic", ".jp2", ".ppm", ".pgm", ".tif", ".tiff", ".webp")
"""What nobody means to leave out; other files may lie beside pictures."""

SYNSET = re.compile(r"n\d{8}")

_DIGITS = 9
"""Of a label, at most."""


def read_folder(folder: Path, n_channels: int | None = None) -> Examples:
    """Return the pictures of a folder, uint8, with their labels.

    Each class has a folder in it, with its pictures in that or below. Folders that are all called
    by numbers are called by their labels; others are numbered in the order of their names, as
    torchvision's ``ImageFolder`` does. The first picture of every class, by name, comes first, then
    every second one, and so on, so that the first few are of all classes. Hidden files and folders
    are passed over. Of many, pictures are decoded when they are asked for, every time anew.

    Raises:
        DataError: Pictures lie beside such folders, one of these holds no picture or one that is no
            JPEG or PNG, cannot be read, or two have one label; or a picture is wrong, as for
            ``read_parquet``; the message names the file.
    """
    classes = class_folders(folder)
    rows = [
        [(path, label) for path in _pictures(one)]
        for one, label in zip(classes, _labels(classes), strict=True)
    ]
    turns = [row for row in chain.from_iterable(zip_longest(*rows)) if row is not None]
    paths = [path for path, _ in turns]
    labels = torch.tensor([label for _, label in turns])

    def where(number: int) -> str:
        return str(paths[number].relative_to(folder))

    if are_synsets(classes):
        return Examples(photographs(name_of(folder), paths, where, n_channels), labels)
    pictures = Pictures(
        name=name_of(folder),
        n=len(paths),
        encoded=lambda number: _content(paths[number]),
        where=where,
        leave_out="take it out",
    )
    return Examples(pictures.images(n_channels), labels)


def is_one(path: Path) -> bool:
    """Say whether this is a folder in which pictures or folders of them lie."""
    return path.is_dir() and any(
        not one.name.startswith(".") and (one.is_dir() or _is_picture(one)) for one in _inside(path)
    )


def name_of(folder: Path) -> str:
    """Return what the images of a folder are called."""
    return folder.resolve().name


def class_folders(folder: Path) -> list[Path]:
    """Return the folders of classes, in the order of their names.

    Raises:
        DataError: Pictures lie beside them.
    """
    found = sorted(path for path in _inside(folder) if not path.name.startswith("."))
    beside = next((path for path in found if not path.is_dir() and _is_picture(path)), None)
    if beside is not None:
        raise DataError(f"'{folder}' must hold {LAYOUT}, got {beside.name} in none of them")
    return [path for path in found if path.is_dir()]


def _inside(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError as error:
        raise DataError(f"cannot read '{folder}': {error.strerror}") from error


def class_names(folder: Path) -> tuple[str, ...]:
    """Return the names of classes in the order of their numbers; none where these are the names."""
    classes = class_folders(folder)
    return () if _are_numbered(classes) else tuple(path.name for path in classes)


def are_synsets(classes: Sequence[Path]) -> bool:
    """Say whether folders are called by synsets of WordNet, as ImageNet's are."""
    return bool(classes) and all(SYNSET.fullmatch(path.name) for path in classes)


def _are_numbered(classes: Sequence[Path]) -> bool:
    names = [path.name for path in classes]
    return all(one.isascii() and one.isdecimal() and len(one) <= _DIGITS for one in names)


def _labels(classes: Sequence[Path]) -> list[int]:
    in_order = list(range(len(classes)))
    if not _are_numbered(classes):
        return in_order
    labels = [int(path.name) for path in classes]
    if twice := next((one for number, one in enumerate(labels) if one in labels[:number]), None):
        raise DataError(f"two folders of '{classes[0].parent}' are of class {twice}; join them")
    if labels != in_order and sorted(labels) == in_order:
        log.warning(
            "folders of %s are called by their labels; in the order of text, as ImageFolder of "
            "torchvision takes them, %s would be class %d",
            *next(
                (path.parent, path.name, place)
                for place, path in enumerate(classes)
                if int(path.name) != place
            ),
        )
    return labels


def _pictures(folder: Path) -> list[Path]:
    """Return the pictures in a folder and below, in the order of their paths."""
    found = []
    for at, folders, names in os.walk(folder, onerror=_refuse, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [Path(at, name) for name in sorted(names) if not name.startswith(".")]
    if other := next((path for path in found if path.suffix.lower() in _OTHER_PICTURES), None):
        raise DataError(f"'{other}' is no JPEG or PNG; make it one, or take it out")
    pictures = [path for path in found if _is_picture(path)]
    if not pictures:
        raise DataError(f"'{folder}' holds no pictures (JPEG or PNG); take it out")
    return pictures


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in _PICTURES


def _refuse(error: OSError) -> None:
    raise DataError(f"cannot read '{error.filename}': {error.strerror}") from error


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read '{path}': {error.strerror}") from error
