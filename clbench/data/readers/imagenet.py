"""ImageNet's validation pictures, those 5,000 and in that order that RobustBench evaluates."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.functional import center_crop, resize

from clbench.data.interface import DatasetInfo, Examples, Split
from clbench.data.stored import Images, StoredImages, loaded_if_small
from clbench.interop.installed import robustbench_helper
from clbench.schema.errors import BadValueError, DataError
from clbench.schema.text import shown

FOLDER = "val"
"""Below the folder of the data: one folder a class, called by its synset, or all pictures."""

_IDS, _CLASSES = "imagenet_test_image_ids.txt", "imagenet_class_to_id_map.json"

UNREADABLE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)


class Preprocessing(NamedTuple):
    """What is done to a picture before anything else, as RobustBench names it.

    It is resized to ``scaled``, its shorter side (each, where nothing is cut off), and the middle
    is cut out; 0 does neither.
    """

    mode: str
    scaled: int
    side: int

    @classmethod
    def of(cls, name: str) -> "Preprocessing":
        """Return the one of this name, such as ``BicubicRes256Crop224``, ``Crop288``, ``Res224``.

        Raises:
            BadValueError: It is no such name.
        """
        found = _NAME.fullmatch(name)
        if found is None or not (found["scaled"] or found["side"]):
            raise BadValueError(f"preprocessing must read like 'Res256Crop224', got {shown(name)}")
        mode = (found["mode"] or "bilinear").lower()
        return cls(mode, int(found["scaled"] or 0), int(found["side"] or 0))

    def apply(self, picture: Image.Image) -> Image.Image:
        """Return a picture as networks see it."""
        if self.scaled:
            side = self.scaled if self.side else [self.scaled, self.scaled]
            picture = resize(picture, side, InterpolationMode(self.mode))
        return center_crop(picture, self.side) if self.side else picture


_NAME = re.compile(r"(?:(?P<mode>Bicubic)?Res(?P<scaled>[0-9]{2,4}))?(?:Crop(?P<side>[0-9]{2,4}))?")

USUAL = "Res256Crop224"

PREPARED_AS = (
    "resized to 256 (bilinear), the middle of 224x224 cut out, as RobustBench prepares them"
)
"""The usual, in words."""


def read_imagenet(
    info: DatasetInfo,
    split: Split,
    *,
    data_dir: Path | None,
    download: bool,
    preprocessing: str = USUAL,
) -> Examples:
    """Return RobustBench's test pictures, prepared as it does, uint8; decoded as they are needed.

    Raises:
        BadValueError: No ``data_dir``, a split that nobody uses, or no such preprocessing.
        DataError: A picture is not there; one that cannot be read is named when it is decoded.
    """
    prepare = Preprocessing.of(preprocessing)
    if split != "test":
        raise BadValueError(f"{info.name} is here for evaluations only, got split {split!r}")
    if data_dir is None or download:
        raise BadValueError(
            f"{info.name} needs --data-dir, the folder that holds {FOLDER}/nXXXXXXXX/*.JPEG or "
            f"{FOLDER}/*.JPEG, and cannot be fetched"
        )
    return read_pictures(data_dir / FOLDER, info.name, prepare)


def read_pictures(folder: Path, name: str, prepare: Preprocessing) -> Examples:
    """Return the pictures in a folder whose names RobustBench has, in its order, prepared.

    They lie there in a folder for each synset, or without any, as they are published.

    Raises:
        DataError: One is not there.
    """
    ids = robustbench_helper(_IDS).split()
    classes = json.loads(robustbench_helper(_CLASSES))
    bare = [one.rpartition("/")[2] for one in ids]
    names = bare if (folder / bare[0]).is_file() else ids
    gone = next((one for one in names if not (folder / one).is_file()), None)
    if gone is not None:
        raise DataError(f"no {name} in '{folder}': it holds no {gone}; give the right --data-dir")
    labels = torch.tensor([classes[one.partition("/")[0]] for one in ids])
    return Examples(stored([folder / one for one in names], prepare), labels)


def stored(paths: Sequence[Path], prepare: Preprocessing) -> Images:
    """Return pictures as uint8 images of colours, prepared; decoded as they are needed.

    One that cannot be read is named then.
    """

    def read(places: list[int]) -> Tensor:
        found = [_decoded(paths[place], prepare) for place in places]
        return torch.from_numpy(np.stack(found)).permute(0, 3, 1, 2)

    side = prepare.side or prepare.scaled
    return loaded_if_small(StoredImages.of(len(paths), (3, side, side), torch.uint8, read))


def _decoded(path: Path, prepare: Preprocessing) -> np.ndarray:
    try:
        with Image.open(path) as picture:
            return np.asarray(prepare.apply(picture.convert("RGB")))
    except UNREADABLE as error:
        raise DataError(f"'{path}' holds no readable picture; unpack it again") from error
