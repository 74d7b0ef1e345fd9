"""One training as JSON: what was trained, by which recipe, and what came of it."""

from dataclasses import dataclass, field
from typing import Any, Literal

BACKBONE = "backbone.safetensors"
"""The file of a training with the pretrained backbone in full precision."""


@dataclass(frozen=True)
class TrainingRecord:
    """What a finished training was and reached. Its fields are the file: add at the end only.

    Attributes:
        model: With the data set as its tag, such as ``simclr_at.digits``.
        seed: Of the training.
        recipe: Its table, all fields.
        selected: The epoch kept of each phase.
        n_train: Images trained on.
        n_validation: Images validated with.
        data_sha256: Of the training images and their labels.
        clean_acc: In [0, 1], of the network in the weights file, on validation images.
        robust_acc: The same under the recipe's validation attack.
        seconds: Spent, stops left out.
        device: What it ran on.
        processes: How many of them there were.
        precision: Of the arithmetic.
        threads: Of torch.
        weights_sha256: Of the weights file.
        versions: Of the packages.
        commit: Of clbench.
        created: In UTC.
        pretrained_from: The run whose backbone was reused, or "".
        command: What trains it again.
        files: The names of the user's own training images.
        artifacts: The other files written, by name, each with its sha256.
        pretrained_on: Which images the reused backbone was trained on, or "".
        recipe_sha256: What tells its recipe from others, whatever the seed; "" in older files.
        validation_sha256: Of the validation images and their labels; "" in older files.
        pretrained_seed: Of the training that made the reused backbone, or None.
        pretrained_sha256: Of the images and labels which that was trained on, or "".
        notes: What may be wrong with this training, a line each.
        test_images: What is known of test images among those used; "" in older files.
        schema_version: Raised when a field changes its meaning or goes.
    """

    model: str
    seed: int
    recipe: dict[str, Any]
    selected: dict[str, int]
    n_train: int
    n_validation: int
    data_sha256: str
    clean_acc: float
    robust_acc: float
    seconds: float
    device: str
    processes: int
    precision: str
    threads: int
    weights_sha256: str
    versions: dict[str, str]
    commit: str
    created: str
    pretrained_from: str = ""
    command: str = ""
    files: tuple[str, ...] = ()
    artifacts: dict[str, str] = field(default_factory=dict)
    pretrained_on: str = ""
    recipe_sha256: str = ""
    validation_sha256: str = ""
    pretrained_seed: int | None = None
    pretrained_sha256: str = ""
    notes: tuple[str, ...] = ()
    test_images: str = ""
    schema_version: Literal[1] = 1
