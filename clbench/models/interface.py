"""What a loaded model is, and what a source of models is asked for."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from clbench.models.calling import Adapted, Call
from clbench.models.checkpoints.load import load_checkpoint
from clbench.models.preprocessing import Preprocessing
from clbench.runtime.hashing import state_sha256
from clbench.runtime.user_code import Code
from clbench.schema.flags import RaisedFlag
from clbench.schema.head import HeadEntry
from clbench.schema.names import NormName
from clbench.schema.records import ModelEntry


class Wanted(NamedTuple):
    """What a network is to be run on, and the weights file a user gave for it.

    ``dataset`` is None for images of the user's own; ``norm`` is RobustBench's table to look in.
    ``or_more`` allows more outputs than there are classes, which labels need not all show.
    ``preprocessing`` is what the user says stands before the network.
    """

    dataset: str | None
    shape: tuple[int, int, int]
    n_classes: int
    norm: NormName
    weights: Path | None
    or_more: bool = False
    preprocessing: Preprocessing | None = None


@dataclass(frozen=True)
class LoadedModel:
    """A network in eval mode, ready for images in [0, 1], and what is known about it.

    ``scheme``, ``scenario`` and ``tag`` are "" outside the zoo. ``weights_sha256`` is of the
    network's state, whichever door it came through; ``file_sha256`` is of its weights file, None
    where there is none, and ``known_by_file`` as for ``FilledWith``. ``files`` are the modules of a
    user's own ``code`` that it is made of, each with its sha256.
    ``training_seed`` and ``recipe_sha256`` are those of its training, where they are known.
    ``flags`` are those of ``validate_network``, which finds ``output`` and ``answers`` too. An
    encoder returns features, not logits; ``head`` tells how a classifier was fitted on one.
    ``class_names`` are in the order of the outputs, none where they are not known.
    """

    network: nn.Module
    name: str
    scheme: str = ""
    scenario: str = ""
    backbone: str = ""
    tag: str = ""
    weights_sha256: str = ""
    source: str = ""
    files: dict[str, str] | None = None
    code: Code | None = None
    training_seed: int | None = None
    recipe_sha256: str = ""
    flags: tuple[RaisedFlag, ...] = ()
    file_sha256: str | None = None
    known_by_file: bool = False
    preprocessing: str | None = None
    output: str | None = None
    answers: str | None = None
    is_encoder: bool = False
    class_names: tuple[str, ...] = ()
    head: HeadEntry | None = None

    def filled(self, weights: Path) -> "LoadedModel":
        """Return it with the weights of a file in its network.

        Raises:
            WeightsError: They are missing, damaged, or of another network.
        """
        found = load_checkpoint(self.network, weights)
        file = f"{weights.name} ({found.did})" if found.did else weights.name
        return replace(
            self,
            weights_sha256=found.weights_sha256,
            file_sha256=found.file_sha256,
            known_by_file=found.known_by_file,
            source=", ".join(filter(None, (self.source, file))),
            training_seed=seed_in(found.about),
            recipe_sha256=found.about.get("recipe_sha256", ""),
        )

    def seeing(self, given: Preprocessing, channels: int) -> "LoadedModel":
        """Return it with what a user says before its network; the source tells it, too.

        Raises:
            BadValueError: It is for images of another number of channels.
        """
        network = self.network
        if isinstance(network, torch.jit.ScriptModule):
            network = Adapted(network, Call())  # which takes hooks
        given.put_before(network, channels)
        source = ", ".join(filter(None, (self.source, str(given))))
        return replace(self, network=network, preprocessing=str(given), source=source)

    def with_its_own(self) -> "LoadedModel":
        """Return it known by the weights that its network has."""
        return replace(self, weights_sha256=state_sha256(self.network))

    @property
    def entry(self) -> ModelEntry:
        """What a record says of it."""
        return ModelEntry(**{one.name: getattr(self, one.name) for one in fields(ModelEntry)})


def loaded_from_elsewhere(
    network: nn.Module,
    name: str,
    weights: Path | None,
    *,
    source: str,
    backbone: str = "",
    code: Code | None = None,
    preprocessing: str | None = None,
) -> LoadedModel:
    """Return a network from outside the zoo, filled from ``weights`` where a user gave some.

    Raises:
        WeightsError: The weights are missing, damaged, or of another network.
    """
    loaded = LoadedModel(
        network=network,
        name=name,
        backbone=backbone or type(network).__name__,
        source=source,
        code=code,
        preprocessing=preprocessing,
    )
    return loaded.filled(weights) if weights else loaded.with_its_own()


def seed_in(about: Mapping[str, str]) -> int | None:
    """Return the seed of a training that weights tell of, None where they tell of none."""
    text = about.get("training_seed", "")
    return int(text) if text.isdecimal() else None
