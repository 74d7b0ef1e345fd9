"""Networks from a folder that ``import``, ``train`` or ``head`` made, or that a hub has."""

from pathlib import Path

from clbench.models.backbones.architecture import Architecture
from clbench.models.checkpoints.load import load_checkpoint
from clbench.models.checkpoints.read import read_about
from clbench.models.interface import LoadedModel, Wanted
from clbench.models.normalization import normalise_inside
from clbench.models.sources import head_folder, hub, zoo
from clbench.models.zoo import zoo_names
from clbench.runtime.as_found import in_eval_mode
from clbench.runtime.hashing import state_sha256
from clbench.schema.dataclass_io import read_json
from clbench.schema.errors import BadValueError, ModelError, WeightsError
from clbench.schema.head import ENTRY as HEAD
from clbench.schema.imported import ENTRY, WEIGHTS, ImportedModel

REMEDY = "import the checkpoint again, into another folder"
"""What can be done about a file that is not what it was."""


def holds_model(folder: Path) -> bool:
    """Say whether a folder is one that ``import``, ``train`` or ``head`` made, or a hub's."""
    entries = (folder / ENTRY, folder / HEAD)
    is_ours = any(one.is_file() for one in entries) or trained_as(folder) in zoo_names()
    return is_ours or hub.holds_model(folder)


def load(folder: Path, wanted: Wanted) -> LoadedModel:
    """Return the network of a folder.

    Raises:
        BadValueError: Other weights were given beside, or its images have other channels.
        RecordError: Its entry cannot be read.
        ModelError: Its architecture cannot be built.
        UnknownNameError: timm has no architecture as a hub's folder names it.
        WeightsError: Its weights are missing, damaged, or others than the entry tells of.
    """
    if wanted.weights:
        raise BadValueError(
            f"model {str(folder)!r} has its weights, got {wanted.weights} too; leave one out"
        )
    if (folder / HEAD).is_file():
        return head_folder.load(folder, wanted)
    if (folder / ENTRY).is_file():
        entry = read_json(folder / ENTRY, ImportedModel, "imported model", remedy=REMEDY)
        return _from_entry(folder, entry, wanted)
    if (trained := trained_as(folder)) in zoo_names():
        name, _, _ = trained.partition(".")
        return zoo.load(name, wanted._replace(weights=folder / WEIGHTS))
    return hub.load_folder(folder, wanted)


def trained_as(folder: Path) -> str:
    """Return the name of the zoo's that a training's weights were trained as, "" if of none."""
    return read_about(folder / WEIGHTS).get("model", "") if folder.is_dir() else ""


def _from_entry(folder: Path, entry: ImportedModel, wanted: Wanted) -> LoadedModel:
    architecture = Architecture(entry.family, entry.architecture, entry.options)
    if len(entry.mean) != wanted.shape[0]:
        raise ModelError(
            f"model {entry.name!r} takes images of {len(entry.mean)} channels, got "
            f"{wanted.shape[0]}; evaluate it on images of its own kind, with --data or --protocol"
        )
    network = architecture.build()
    in_eval_mode(network)
    found = load_checkpoint(network, folder / WEIGHTS)
    if (state := state_sha256(network)) != entry.weights_sha256:
        raise WeightsError(
            f"weights {folder / WEIGHTS} are not those of {ENTRY} beside them: sha256 of the state "
            f"is {state[:12]}, expected {entry.weights_sha256[:12]}; {REMEDY}"
        )
    seen = normalise_inside(network, {"mean": entry.mean, "std": entry.std}, len(entry.mean))
    branch = f", batch norms of {entry.branch}" if entry.branch else ""
    return LoadedModel(
        network=network,
        name=entry.name,
        backbone=architecture.name,
        weights_sha256=state,
        file_sha256=found.file_sha256,
        source=f"imported from {entry.source_file} ({entry.dialect}{branch})",
        preprocessing=seen,
        is_encoder=not entry.n_classes,
    )
