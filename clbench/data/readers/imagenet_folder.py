"""ImageNet's validation pictures as they are published, of which a devkit tells the classes."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch

from clbench.data.interface import Examples
from clbench.data.readers import folder
from clbench.data.readers.photographs import photographs
from clbench.schema.errors import DataError, describe

TRUTH, META = "ILSVRC2012_validation_ground_truth.txt", "meta.mat"
"""The files of the devkit: a number for each picture, and what the numbers are."""

LAYOUT = (
    "ImageNet's validation pictures: a folder val with one of pictures for each synset, or with "
    f"all of them and {TRUTH} and {META} of the devkit beside"
)

_PICTURE = re.compile(r"ILSVRC2012_val_(?P<number>\d{8})\.JPEG")
_VAL = "val"
_DEVKITS = ("", "data", "devkit/data", "ILSVRC2012_devkit_t12/data", "ILSVRC2012_devkit_t12")
"""Where devkits lie below the folder of the pictures, or the one above."""


class Devkit(NamedTuple):
    """The number of each picture's class, and the synset of each number.

    Numbers are the devkit's own, from 1; networks count synsets from 0, in their order.
    """

    truth: tuple[int, ...]
    synsets: dict[int, str]

    @property
    def classes(self) -> tuple[str, ...]:
        """The synsets in the order of a network's outputs."""
        return tuple(sorted(self.synsets.values()))

    def labels(self, numbers: list[int]) -> list[int]:
        """Return the classes of pictures, as networks count them.

        Raises:
            DataError: The devkit does not tell one.
        """
        place = {synset: label for label, synset in enumerate(self.classes)}
        known = len(self.truth)
        for number in numbers:
            if not 1 <= number <= known or self.truth[number - 1] not in self.synsets:
                told = self.truth[number - 1] if 1 <= number <= known else "nothing"
                raise DataError(
                    f"{TRUTH} and {META} tell {told} of picture {number}, and {known} pictures in "
                    "all; give the devkit of these pictures"
                )
        return [place[self.synsets[self.truth[number - 1]]] for number in numbers]


def is_one(path: Path) -> bool:
    """Say whether a folder holds ImageNet's validation pictures, not only folders of classes."""
    return pictures_in(path) is not None or _synsets_in(path) is not None


def read_pictures_of(path: Path, n_channels: int | None = None) -> Examples:
    """Return the pictures of a folder, uint8, in the order of their numbers, with their labels.

    Those in folders of synsets are in the order of ``read_folder``.

    Raises:
        DataError: There is no devkit, it is damaged or of other pictures, or a picture is
            unreadable.
    """
    if (synsets := _synsets_in(path)) is not None:
        return folder.read_folder(synsets, n_channels)
    place = pictures_in(path)
    assert place is not None, "is_one was asked before"
    found = sorted(_numbered(place))
    labels = devkit_of(place, path).labels([number for number, _ in found])
    paths = [one for _, one in found]
    images = photographs(folder.name_of(path), paths, lambda k: paths[k].name, n_channels)
    return Examples(images, torch.tensor(labels))


def class_names(path: Path) -> tuple[str, ...]:
    """Return the synsets in the order of a network's outputs."""
    if (synsets := _synsets_in(path)) is not None:
        return folder.class_names(synsets)
    return devkit_of(pictures_in(path) or path, path).classes


def pictures_in(path: Path) -> Path | None:
    """Return the folder with all pictures: this one, or ``val`` in it; None where neither is."""
    return next((one for one in (path / _VAL, path) if next(_numbered(one), None)), None)


def devkit_of(*folders: Path) -> Devkit:
    """Return the devkit that lies in one of some folders, or above or below it.

    Raises:
        DataError: There is none, or it cannot be read.
    """
    near = [place for one in folders for place in (one, one.resolve().parent)]
    places = (place / below for place in near for below in _DEVKITS)
    place = next((one for one in places if (one / TRUTH).is_file()), None)
    if place is None:
        raise DataError(
            f"'{folders[0]}' holds ImageNet's validation pictures without their classes; put "
            f"{TRUTH} and {META} of the devkit beside them, or make a folder for each synset"
        )
    return Devkit(_truth(place / TRUTH), _synsets(place / META))


def _numbered(place: Path) -> Iterator[tuple[int, Path]]:
    for one in _entries(place):
        if found := _PICTURE.fullmatch(one.name):
            yield int(found["number"]), Path(one.path)


def _entries(place: Path) -> Iterator["os.DirEntry[str]"]:
    if not place.is_dir():
        return
    try:
        with os.scandir(place) as entries:
            yield from entries
    except OSError as error:
        raise DataError(f"cannot read '{place}': {error.strerror}") from error


def _synsets_in(path: Path) -> Path | None:
    """Return the folder ``val`` with a folder for each synset, None where there is none."""
    place = path / _VAL
    inside = [one for one in _entries(place) if one.is_dir() and not one.name.startswith(".")]
    return place if folder.are_synsets([Path(one.path) for one in inside]) else None


def _truth(path: Path) -> tuple[int, ...]:
    try:
        lines = path.read_text(encoding="ascii").split()
    except (OSError, ValueError) as error:
        raise DataError(f"'{path}' cannot be read: {describe(error)}; unpack it again") from error
    if not lines or not all(re.fullmatch(r"\d{1,6}", one) for one in lines):
        raise DataError(f"'{path}' must hold a number a line; unpack it again")
    return tuple(map(int, lines))


def _synsets(path: Path) -> dict[int, str]:
    """Return the synset of each number that is a class: those that have no narrower ones."""
    from scipy.io import loadmat

    try:
        with path.open("rb") as file:
            table = loadmat(file, squeeze_me=True, variable_names=["synsets"])
        rows = table["synsets"].reshape(-1)
        found = {
            int(row["ILSVRC2012_ID"]): str(row["WNID"])
            for row in rows
            if int(row["num_children"]) == 0
        }
    except Exception as error:  # whatever scipy raises on files that are cut off
        raise DataError(
            f"'{path}' cannot be read as the devkit's table of synsets: {describe(error)}; unpack "
            "it again"
        ) from error
    if not found or not all(map(folder.SYNSET.fullmatch, found.values())):
        raise DataError(f"'{path}' must tell the synset of each class; unpack it again")
    return found
