"""The network and the images that a record tells of, as whoever verifies it has them."""

import re
from dataclasses import dataclass, replace

import torch
from torch import nn

from clbench.data.datasets import TEST_SETS
from clbench.data.image_set import ImageSet
from clbench.data.load import load_images
from clbench.models.interface import LoadedModel
from clbench.models.load import IN_MEMORY, load_for, preprocessing_of
from clbench.models.preprocessing import of_words
from clbench.models.zoo import zoo_names
from clbench.runtime.hashing import state_sha256
from clbench.schema.errors import DataError, ModelError
from clbench.schema.records import EvaluationRecord
from clbench.schema.threat_model import parse_norm
from clbench.verification.findings import RESCORED, Problem, Stored
from clbench.verification.request import Given

_TOLD = (
    *("scheme", "scenario", "backbone", "preprocessing", "output", "answers"),
    *("training_seed", "recipe_sha256"),
)
"""What a record says of its network besides, as far as the network tells it again."""

_OF_ITS_DOOR = ("source", "file_sha256")
"""What is the same only where the network comes in by the same door."""

_PACKAGED = re.compile(r"(timm|robustbench):([A-Za-z0-9_]+/)?[A-Za-z0-9][A-Za-z0-9._-]*")
"""Names that run no code but that of the package before the colon."""


@dataclass(frozen=True, eq=False)
class Asked:
    """A network on its device, and the images that it is asked about."""

    model: LoadedModel
    images: ImageSet
    device: torch.device


def find_images(stored: Stored, given: Given) -> ImageSet:
    """Return the images that a record was made on.

    Those that are in the package are always taken from there. Names are not enough: whether the
    content is the same is for the caller to say.

    Raises:
        ClbenchError: They are not there, or there are fewer.
    """
    record, data = stored.record, given.data
    info = TEST_SETS.get(record.data.name)
    if info is not None and not info.packaged and data is None and given.data_dir is None:
        raise DataError(
            f"the images of {stored.path} are of {info.name}; give the folder of its public files "
            "with --data-dir, or the images with --data"
        )
    if info is not None and (info.packaged or data is None):
        data_dir = None if info.packaged else given.data_dir
        return load_images(
            info.name,
            n_examples=record.data.n,
            data_dir=data_dir,
            preprocessing=_preprocessing(record, given),
        )
    if data is None:
        raise DataError(
            f"the images of {stored.path} are its maker's own, {record.data.name!r}; give them "
            "with --data"
        )
    n_classes = info.n_classes if info else None
    found = load_images(data, n_examples=record.data.n, n_classes=n_classes)
    return found if info is None else found.named(info.name)


def _preprocessing(record: EvaluationRecord, given: Given) -> str:
    """Return what is done to pictures first, as the network of a record asks for it."""
    named = given.model if given.model is not None else _named_by(record)
    if named is None or record.threat_model is None:
        return ""
    return preprocessing_of(named, record.data.name, parse_norm(record.threat_model.norm))


def find_model(stored: Stored, given: Given, images: ImageSet, device: torch.device) -> Asked:
    """Return the network of a record, checked on its images.

    Code of whoever made a record runs only where it is given by hand.

    Raises:
        ClbenchError: Its name leads to none, or it cannot be built.
    """
    record = stored.record
    named = given.model if given.model is not None else _named_by(record)
    if named is None:
        raise ModelError(
            f"the network of {stored.path} is of its maker's own code or weights, "
            f"{record.model.name!r}; give it with --model and --weights"
        )
    assert record.threat_model is not None, "something was attacked"
    in_memory = isinstance(named, nn.Module)
    loaded, adapted = load_for(
        named,
        images,
        dataset=record.data.name if record.data.name in TEST_SETS else None,
        norm=parse_norm(record.threat_model.norm),
        device=device,
        weights=given.weights,
        preprocessing=None if in_memory else of_words(record.model.preprocessing),
        carried=False,  # the record tells what was done, whatever lies beside weights today
        output=record.model.output if given.output is None else given.output,
    )
    return Asked(loaded, replace(adapted, name=record.data.name), device)


def of_content(stored: Stored, images: ImageSet) -> list[Problem]:
    """Return a problem where images are others than those that a record was made on."""
    if images.sha256 == stored.record.data.sha256:
        return []
    found, expected = stored.record.data.sha256, f"{images.sha256} by the images in {images.name}"
    return [Problem(RESCORED, stored.path, "data.sha256", found, expected)]


def of_weights(stored: Stored, loaded: LoadedModel, given: Given) -> list[Problem]:
    """Return problems where the network has other weights, or was made by other code.

    A network in memory was made by nobody knows what, and a record may have the hash of a file that
    is not at hand: whether it is the same, its predictions tell.
    """
    had, has = stored.record.model, loaded.entry
    pairs: dict[str, tuple[str, str]] = {}
    if not loaded.source.endswith(IN_MEMORY):
        same = {has.weights_sha256, has.file_sha256, state_sha256(loaded.network)}
        if had.weights_sha256 not in same:  # of a file, or of what it holds
            pairs["model.weights_sha256"] = had.weights_sha256, has.weights_sha256
        for file in sorted({*(had.files or {}), *(has.files or {})}):
            both = [(one.files or {}).get(file, "missing") for one in (had, has)]
            pairs[f"model.files.{file}"] = both[0], both[1]
    by_its_name = had.name == has.name and given.weights is None and stored.is_of_today
    # a record may be older than the hash of a file beside that of the weights
    of_door = _OF_ITS_DOOR if had.known_by_file == has.known_by_file else _OF_ITS_DOOR[:1]
    for field in (*_TOLD, *of_door * by_its_name):
        told = _text(getattr(had, field)), _text(getattr(has, field))
        if all(told) or by_its_name:  # else one of them does not tell
            pairs[f"model.{field}"] = told
    return [
        Problem(RESCORED, stored.path, field, found or "''", f"{expected or 'none'} by the network")
        for field, (found, expected) in pairs.items()
        if found != expected
    ]


def _text(value: str | int | None) -> str:
    return "" if value is None else str(value)


def _named_by(record: EvaluationRecord) -> str | None:
    """Return the model that a record's own names lead to, None where only its maker has it."""
    model = record.model
    full_name = f"{model.name}.{model.tag}"
    if full_name in zoo_names():
        return full_name
    return model.name if _PACKAGED.fullmatch(model.name) else None
