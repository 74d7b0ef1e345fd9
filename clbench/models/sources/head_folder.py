"""Networks from the folder of a classifier that ``head`` fitted on an encoder."""

from pathlib import Path

from torch import nn

from clbench.models.backbones.architecture import Architecture
from clbench.models.checkpoints.load import load_checkpoint
from clbench.models.classifier import Behind, Headed
from clbench.models.interface import LoadedModel, Wanted
from clbench.models.normalization import put_before
from clbench.models.sources import python
from clbench.runtime.as_found import in_eval_mode
from clbench.runtime.hashing import state_sha256
from clbench.schema.dataclass_io import read_json
from clbench.schema.errors import ModelError, WeightsError
from clbench.schema.head import CODE, ENTRY, OWN_CODE, WEIGHTS, HeadModel

REMEDY = "fit it again with clbench head --restart"
"""What can be done about a file that is not what it was."""


def read_entry(folder: Path) -> HeadModel:
    """Return the entry of a folder.

    Raises:
        RecordError: It cannot be read, or was changed since it was written.
    """
    return read_json(folder / ENTRY, HeadModel, "head", remedy=REMEDY)


def load(folder: Path, wanted: Wanted) -> LoadedModel:
    """Return the network of a folder, encoder and classifier.

    Raises:
        RecordError: Its entry cannot be read.
        ModelError: It is for images of another size, or cannot be built.
        WeightsError: Its weights are missing, damaged, or others than the entry tells of.
    """
    entry = read_entry(folder)
    _check_shape(entry, wanted)
    loaded = _own_code(folder, entry, wanted) if entry.family == OWN_CODE else _built(entry)
    network = loaded.network
    in_eval_mode(network)
    found = load_checkpoint(network, folder / WEIGHTS)
    if (state := state_sha256(network)) != entry.weights_sha256:
        raise WeightsError(
            f"weights {folder / WEIGHTS} are not those of {ENTRY} beside them: sha256 of the state "
            f"is {state[:12]}, expected {entry.weights_sha256[:12]}; {REMEDY}"
        )
    put_before(network, entry.seen)
    seeds = ", ".join(map(str, entry.head.seeds))
    return LoadedModel(
        network=network,
        name=entry.name,
        backbone=entry.backbone,
        weights_sha256=state,
        file_sha256=found.file_sha256,
        source=f"{entry.head.method} on {entry.encoder_source}, seed {entry.seed} of {seeds}",
        files=loaded.files,
        code=loaded.code,
        training_seed=entry.seed,
        recipe_sha256=entry.recipe_sha256,
        preprocessing=entry.seen.words,
        head=entry.head,
    )


def _built(entry: HeadModel) -> LoadedModel:
    network = Architecture(entry.family, entry.architecture, entry.options).build()
    return LoadedModel(network=network, name=entry.name)


def _own_code(folder: Path, entry: HeadModel, wanted: Wanted) -> LoadedModel:
    """Return the network of a user's own code, with a last layer of the head's classes."""
    name, registered = entry.architecture, python.registered_models()
    if name in registered:
        loaded = python.load_from_package(name, registered[name], wanted)
    else:
        in_file = ".py:" in name
        loaded = python.load(str(folder / CODE / name) if in_file else name, wanted)
    return LoadedModel(
        network=with_classifier(
            loaded.network, entry.classifier, entry.n_features, entry.n_classes
        ),
        name=entry.name,
        files=loaded.files,
        code=loaded.code,
    )


def with_classifier(network: nn.Module, layer: str, n_features: int, n_classes: int) -> nn.Module:
    """Return a network with a new last layer of so many classes, behind it where it has none."""
    if not layer:
        return Behind(network, n_features, n_classes)
    Headed(network, layer).reset_classifier(n_classes)
    return network


def _check_shape(entry: HeadModel, wanted: Wanted) -> None:
    """Check that images are of the size that a classifier was fitted on.

    Raises:
        ModelError: They are not. The network might run, and be right by chance only.
    """
    same_channels = entry.shape[0] == wanted.shape[0]
    if entry.shape == wanted.shape or (same_channels and entry.seen.scaled):
        return
    of, got = ("x".join(map(str, shape)) for shape in (entry.shape, wanted.shape))
    raise ModelError(
        f"model {entry.name!r} takes images of {of} (channels, height, width), got {got}; evaluate "
        "it on images of its own kind, with --data or --protocol"
    )
