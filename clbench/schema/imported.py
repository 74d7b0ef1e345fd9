"""The entry of an imported model: what a folder with its weights says of the network."""

from dataclasses import dataclass, field
from typing import Any, Literal

ENTRY, WEIGHTS, CARD = "model.json", "weights.safetensors", "card.md"
"""The files of such a folder."""


@dataclass(frozen=True)
class ImportedModel:
    """What an imported network is. Its fields are the file: add at the end only.

    Attributes:
        name: What records call it.
        family: Of its architecture.
        architecture: Its name in that family.
        options: What the family builds it from.
        n_classes: Outputs of its classifier, 0 where it has none.
        mean: Subtracted from pixels in [0, 1], per channel.
        std: What they are divided by then.
        decided: What the tensors do not tell, and who said it: in words, by what it is.
        dialect: How the checkpoint was written.
        evidence: By what that was told.
        branch: Which batch norms were taken, "" where there are not several.
        left_out: What of the checkpoint is no part of the network, in words.
        source_file: The name of the checkpoint.
        file_sha256: Of its bytes.
        weights_sha256: Of the network's state.
        versions: Of the packages.
        created: In UTC.
        schema_version: Raised when a field changes its meaning or goes.
    """

    name: str
    family: str
    architecture: str
    options: dict[str, Any]
    n_classes: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    decided: dict[str, str]
    dialect: str
    evidence: str
    branch: str
    left_out: tuple[str, ...]
    source_file: str
    file_sha256: str
    weights_sha256: str
    versions: dict[str, str] = field(default_factory=dict)
    created: str = ""
    schema_version: Literal[1] = 1
