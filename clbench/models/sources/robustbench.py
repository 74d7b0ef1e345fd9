"""Networks of RobustBench's zoo: ``robustbench:NAME`` or ``robustbench:THREAT-MODEL/NAME``."""

from pathlib import Path
from typing import get_args

import timm

from clbench.models.checkpoints.read import read_checkpoint
from clbench.models.interface import LoadedModel, Wanted, loaded_from_elsewhere
from clbench.models.register import check_owner, owner_of
from clbench.models.zoo import zoo_names
from clbench.schema.errors import BadValueError
from clbench.schema.names import NormName, RobustBenchThreatModel, look_up
from clbench.schema.provenance import version_of

ROBUSTBENCH_DIR = Path("models")
"""Where RobustBench keeps its weights by default, below the working folder."""

_THREAT_MODELS = {name: name for name in get_args(RobustBenchThreatModel)}


def load(name: str, wanted: Wanted) -> LoadedModel:
    """Return RobustBench's network for a data set and threat model: that of the name, or the norm.

    Raises:
        BadValueError: The images are of no data set, RobustBench has no name for the norm, or a
            user gave weights.
        UnknownNameError: RobustBench has no such model.
        WeightsError: Its weights cannot be had.
    """
    if wanted.dataset is None:
        raise BadValueError(
            f"model 'robustbench:{name}' needs a data set, got images {list(wanted.shape)}; "
            "name its data set by a --protocol"
        )
    if wanted.weights:
        raise BadValueError(
            f"model 'robustbench:{name}' brings its own weights; "
            f"leave out --weights {wanted.weights}"
        )
    threat_model, entry = _split(name, wanted.norm)
    stem, _, tag = entry.partition(".")
    if entry in zoo_names() and tag not in ("", wanted.dataset):
        raise BadValueError(
            f"model 'robustbench:{name}' is of {tag}, but the data is {wanted.dataset}; "
            f"use 'robustbench:{stem}', or a protocol of {tag}"
        )
    entry = stem if entry in zoo_names() else entry
    registered = "_".join((entry.lower().replace("-", "_"), wanted.dataset, threat_model.lower()))
    check_owner(registered)
    from clbench.interop import robustbench  # noqa: PLC0415 - takes seconds, may not be sound

    network = robustbench.load_model(
        entry,
        wanted.dataset,
        threat_model,
        ROBUSTBENCH_DIR,
        lambda path: read_checkpoint(path).content,
    )
    source = f"robustbench {version_of('robustbench')}"
    if timm.is_model(registered):  # RobustBench looks there first, and takes what it finds
        source += f", timm's {registered} of {owner_of(registered)}"
    called = entry if threat_model == wanted.norm else f"{threat_model}/{entry}"
    return loaded_from_elsewhere(network, f"robustbench:{called}", None, source=source)


def preprocessing(name: str, dataset: str, norm: NormName) -> str:
    """Return what is done to pictures before this network sees them, "" where nothing is known."""
    from clbench.interop import robustbench  # noqa: PLC0415 - takes seconds, may not be sound

    threat_model, entry = _split(name, norm)
    found = robustbench.entry(entry, dataset, threat_model)
    return found.preprocessing if found else ""


def _split(name: str, norm: NormName) -> tuple[str, str]:
    """Return the threat model whose table a name is of, and the name in it."""
    head, slash, entry = name.partition("/")
    if slash:
        return look_up(_THREAT_MODELS, head, "RobustBench threat model"), entry
    if norm not in _THREAT_MODELS:
        raise BadValueError(
            f"RobustBench has no name for {norm}, but for {', '.join(_THREAT_MODELS)}; name "
            f"the one that the model was trained for: --model robustbench:Linf/{name}"
        )
    return norm, name
