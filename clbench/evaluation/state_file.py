"""The bytes in which the state of an evaluation is kept: what they hold, and what tells damage."""

import io
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from clbench.evaluation.parts import ABOUT
from clbench.schema.files import DAMAGED_NPZ, seal, unseal

PER_EXAMPLE = (
    *("index", "labels", "clean_pred", "adv_pred", "broken_by", "components_done"),
    *("log2_factors", "image_sums"),
)
TOTALS = ("forward_passes", "backward_passes", "seconds")
IN_FLIGHT = "in_flight_"
"""Before the names of what a pool has under way."""

DAMAGED = DAMAGED_NPZ
"""What ``unpack`` raises; errors of json and of the seal are ValueErrors."""

_WANTED = {*TOTALS, "identity", "whole", "flags", "counted", "made_with"}


def pack(about: Mapping[str, Any], arrays: Mapping[str, Tensor]) -> bytes:
    """Return plain values and arrays as a sealed npz file."""
    buffer = io.BytesIO()
    kept: dict[str, Any] = {name: one.numpy() for name, one in arrays.items()}
    kept[ABOUT] = np.array(json.dumps(dict(about)))
    np.savez(buffer, allow_pickle=False, **kept)
    return seal(buffer.getvalue())


def unpack(data: bytes) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return what ``pack`` was given, or raise one of ``DAMAGED``."""
    with np.load(io.BytesIO(unseal(data)), allow_pickle=False) as file:
        about: dict[str, Any] = json.loads(str(file[ABOUT]))
        names = (*PER_EXAMPLE, "logits", *(one for one in file.files if one.startswith(IN_FLIGHT)))
        arrays = {name: torch.from_numpy(file[name]) for name in names}
    if missing := _WANTED - set(about):
        raise KeyError(min(missing))
    return about, arrays
