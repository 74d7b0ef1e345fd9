"""Networks of RobustBench's zoo: ``robustbench:NAME``."""

from pathlib import Path

import timm

from clbench.models.interface import LoadedModel, Wanted, loaded_from_elsewhere
from clbench.models.register import check_owner, owner_of
from clbench.models.zoo import zoo_names
from clbench.schema.errors import BadValueError
from clbench.schema.provenance import version_of

ROBUSTBENCH_DIR = Path("models")
"""Where RobustBench keeps its weights by default, below the working folder."""


def load(name: str, wanted: Wanted) -> LoadedModel:
    """Return RobustBench's network for a data set and norm.

    Raises:
        BadValueError: The images are of no data set, or a user gave weights.
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
    stem, _, tag = name.partition(".")
    if name in zoo_names() and tag not in ("", wanted.dataset):
        raise BadValueError(
            f"model 'robustbench:{name}' is of {tag}, but the data is {wanted.dataset}; "
            f"use 'robustbench:{stem}', or a protocol of {tag}"
        )
    name = stem if name in zoo_names() else name
    registered = "_".join((name.lower().replace("-", "_"), wanted.dataset, wanted.norm.lower()))
    check_owner(registered)
    from clbench.interop import robustbench  # noqa: PLC0415 - takes seconds, may not be sound

    network = robustbench.load_model(name, wanted.dataset, wanted.norm, ROBUSTBENCH_DIR)
    source = f"robustbench {version_of('robustbench')}"
    if timm.is_model(registered):  # RobustBench looks there first, and takes what it finds
        source += f", timm's {registered} of {owner_of(registered)}"
    return loaded_from_elsewhere(network, f"robustbench:{name}", None, source=source)
