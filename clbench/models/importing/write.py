"""A folder with an imported model: weights, entry and card."""

from pathlib import Path

from torch import nn

from clbench.models.weights import save_weights
from clbench.schema.dataclass_io import to_json
from clbench.schema.errors import StorageError
from clbench.schema.files import make_folder, write_atomically
from clbench.schema.imported import CARD, ENTRY, WEIGHTS, ImportedModel
from clbench.schema.text import visible

ENCODER = "none: an encoder; its features can be compared by clbench probe"
"""What a card says of a classifier that is not there."""


def check_out(folder: Path) -> None:
    """Check that no other model is in a folder.

    Raises:
        StorageError: One is.
    """
    there = [name for name in (ENTRY, WEIGHTS) if (folder / name).exists()]
    if there:
        raise StorageError(
            f"{folder} has a model already, {there[0]}; choose another --out, or remove it"
        )


def write_model(folder: Path, network: nn.Module, entry: ImportedModel) -> None:
    """Write the weights, the card and then the entry, which makes the folder a model.

    Raises:
        StorageError: The folder cannot be written.
    """
    make_folder(folder)
    about = {"imported_from": entry.source_file, "dialect": entry.dialect}
    save_weights(network, folder / WEIGHTS, half=False, about=about)
    write_atomically(folder / CARD, _card(entry).encode())
    write_atomically(folder / ENTRY, to_json(entry, checksum=True))


def _card(entry: ImportedModel) -> str:
    facts = {
        "Architecture": f"{entry.architecture} ({entry.family}), "
        + ", ".join(f"{key} {value}" for key, value in entry.options.items()),
        "Classifier": f"{entry.n_classes} classes" if entry.n_classes else ENCODER,
        "Inputs": "in [0, 1]; the network subtracts "
        f"{','.join(map(repr, entry.mean))} and divides by {','.join(map(repr, entry.std))}",
        **{key.replace("_", " ").capitalize(): by for key, by in entry.decided.items()},
        "Checkpoint": f"{entry.source_file}, sha256 {entry.file_sha256}",
        "Dialect": f"{entry.dialect}: {entry.evidence}",
        "Batch norms": f"those of the branch {entry.branch}" if entry.branch else "one each",
        "Left out": "; ".join(entry.left_out) or "nothing",
        "Weights": f"full precision, sha256 of the state {entry.weights_sha256}",
        "Versions": ", ".join(f"{name} {version}" for name, version in entry.versions.items()),
        "Created": entry.created,
        "Licence": "that of the checkpoint's project",
    }
    rows = [f"| {name} | {_cell(text)} |" for name, text in facts.items()]
    again = f"clbench eval --model {_cell(entry.name)}" if entry.n_classes else "clbench layers"
    table = ("|  |  |", "| --- | --- |", *rows)
    return "\n".join((f"# {_cell(entry.name)}", "", *table, "", f"    {again}", ""))


def _cell(text: str) -> str:
    """Return a text as it can stand in a table, whatever names of files hold."""
    return " ".join(visible(text).replace("|", "\\|").split())
