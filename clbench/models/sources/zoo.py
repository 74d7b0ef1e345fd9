"""Networks of the zoo: ``scheme_scenario[.tag]``."""

import logging
from pathlib import Path
from typing import NamedTuple

from clbench.data.datasets import DATASETS
from clbench.models.backbones.resnet import build_backbone
from clbench.models.checkpoints.read import read_about
from clbench.models.interface import LoadedModel, Wanted, seed_in
from clbench.models.normalization import NONE
from clbench.models.register import create
from clbench.models.spec import ModelSpec
from clbench.models.weights import availability
from clbench.models.zoo import ZOO, find_spec
from clbench.runtime.hashing import state_sha256
from clbench.schema.errors import BadValueError, WeightsError
from clbench.schema.files import sha256_of_file

log = logging.getLogger(__name__)


def load(name: str, wanted: Wanted) -> LoadedModel:
    """Return the zoo's network, with its own weights or with a user's.

    A user's weights that tell what they were trained as are called that, whatever the name.

    Raises:
        BadValueError: The name's tag is of another data set, or the row of another image size.
        WeightsError: The weights are missing, damaged, or of another network or data set.
    """
    spec = find_spec(name, wanted.dataset)
    check_shape(name, spec, wanted)
    return _with_a_users(name, spec, wanted.weights) if wanted.weights else _with_its_own(spec)


def check_shape(name: str, spec: ModelSpec, wanted: Wanted) -> None:
    """Check that images are of the size that a row's network was made and trained for.

    Raises:
        BadValueError: They are not. The network would run, and be right by chance only.
    """
    if wanted.shape != spec.info.shape:
        of, got = ("x".join(map(str, shape)) for shape in (spec.info.shape, wanted.shape))
        raise BadValueError(
            f"model {name!r} takes images of {of} (channels, height, width), as {spec.dataset} "
            f"has, got {got}; bring the images to that size, or train a network on them: "
            "clbench train --data FILE"
        )


def _with_its_own(spec: ModelSpec) -> LoadedModel:
    network = create(spec)
    assert spec.weights, "create refuses a row without weights"
    return LoadedModel(
        network=network,
        name=spec.name,
        scheme=spec.scheme,
        scenario=spec.scenario,
        backbone=spec.backbone,
        tag=spec.dataset,
        weights_sha256=state_sha256(network),
        file_sha256=spec.weights.sha256,
        known_by_file=True,
        source=availability(spec),
        training_seed=seed_in(vars(spec.weights)),
        recipe_sha256=spec.weights.recipe_sha256,
        preprocessing=NONE,
    )


def _with_a_users(name: str, spec: ModelSpec, weights: Path) -> LoadedModel:
    # a recipe may have trained another backbone than the row's, and its weights tell which
    backbone = read_about(weights).get("backbone", spec.backbone)
    trained = trained_as(name, spec, weights)
    return LoadedModel(
        network=build_backbone(backbone, spec.info.shape[0], spec.info.n_classes),
        name=trained.name,
        scheme=trained.scheme,
        scenario=trained.scenario,
        backbone=backbone,
        tag=spec.dataset,
        preprocessing=NONE,
    ).filled(weights)


class TrainedAs(NamedTuple):
    """What weights were trained as; ``scheme`` and ``scenario`` are "" where that is unknown."""

    name: str
    scheme: str
    scenario: str


def trained_as(name: str, spec: ModelSpec, weights: Path) -> TrainedAs:
    """Return what weights tell that they were trained as, else what their row says.

    Where that is not what they are given as, it is said.

    Args:
        name: What they are given as.
        spec: The row of that.
        weights: The file.

    Raises:
        WeightsError: They are of another data set.
    """
    row = TrainedAs(spec.name, spec.scheme, spec.scenario)
    about = read_about(weights)
    told = about.get("model") or _packaged(weights)
    if not told:
        return row
    stem, _, tag = told.partition(".")
    if tag in DATASETS and tag != spec.dataset:
        raise WeightsError(
            f"weights {weights} are of {told!r}, trained on {tag}, the data is {spec.dataset}; "
            f"give --model {stem}.{tag} with images of {tag}"
        )
    known = ((one.scheme, one.scenario) for one in ZOO if one.name == stem)
    scheme, scenario = next(known, ("", ""))
    found = TrainedAs(stem, about.get("scheme", scheme), about.get("scenario", scenario))
    if found != row:
        log.warning(
            "weights %s were trained as %s (scheme %s, scenario %s), not as %s: recorded as that",
            *(weights, stem, found.scheme or "unknown", found.scenario or "unknown", name),
        )
    return found


def _packaged(weights: Path) -> str:
    """Return the name of a file that is one of the zoo's own, as those tell none; otherwise ""."""
    if not weights.is_file():
        return ""
    sha256 = sha256_of_file(weights)
    rows = (spec for spec in ZOO if spec.weights and spec.weights.sha256 == sha256)
    return next((spec.full_name for spec in rows), "")
