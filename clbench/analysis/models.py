"""What is to be compared: the models of a request with their layers, images and matrices."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from clbench.analysis.comparisons import (
    COMPARISONS,
    ComparedModel,
    ComparisonPlan,
    plan_comparisons,
)
from clbench.attacks.interface import AttackPlan
from clbench.attacks.registry import plan_attack
from clbench.data.image_set import ImageSet
from clbench.loading import Setup, load_checked, load_data, load_training, settle
from clbench.models import LoadedModel
from clbench.probes.layers import Layers, select_layers
from clbench.probes.linear.pooling import DEFAULT_POOLING, POOLINGS
from clbench.probes.similarity.estimators import find_estimator
from clbench.probes.similarity.measures import MEASURES
from clbench.runtime.devices import find_device
from clbench.schema.errors import BadValueError, ModelError, UnknownNameError, WeightsError
from clbench.schema.names import look_up
from clbench.schema.progress import OnProgress
from clbench.schema.protocol import Protocol

DEFAULT_STEPS = 40
"""Steps of the attack, those of the CKA columns."""

QUICK_STEPS = 10
"""Steps of a first attack on linear probes, which most examples do not withstand."""


Adversarial = Mapping[str, Float[Tensor, "n c h w"]]
"""The images that were made against each model."""


@dataclass(frozen=True, kw_only=True)
class Request(Setup):
    """What a user asked for, as typed; empty stands for everything, or the usual."""

    models: Sequence[str]
    comparisons: Sequence[str] = ()
    common: str = ""
    layers: Sequence[str] = ()
    measure: str = "cka"
    estimator: str = ""
    pooling: str = DEFAULT_POOLING
    steps: int = DEFAULT_STEPS
    device: str = "auto"
    out: Path = Path("probe")
    draw: bool = True


@dataclass(frozen=True)
class ComparedModels:
    """The models and their layers by name, what they are shown, and how they are attacked.

    ``training`` are images to fit linear probes on and to choose by, None where none are wanted;
    ``quick`` is a shorter attack, to save time where only robust examples are attacked.
    """

    models: Mapping[str, LoadedModel]
    layers: Mapping[str, Layers]
    image_set: ImageSet
    training: tuple[ImageSet, ImageSet] | None
    protocol: Protocol
    attack: AttackPlan
    quick: AttackPlan
    device: torch.device
    wanted: ComparisonPlan

    @property
    def attacked(self) -> tuple[str, ...]:
        """The models that adversarial images are to be made against."""
        return tuple(self.models) if self.training else self.wanted.attacked


def load_models(request: Request, on_progress: OnProgress) -> ComparedModels:
    """Return all that a request names, loaded and checked.

    Raises:
        ClbenchError: A value, a model, a layer or the data cannot be used, or the models are of
            different data.
    """
    _check(request)
    protocol, device = settle(request), find_device(request.device)
    image_set = load_data(request, protocol)
    models = _load_models(request, protocol, image_set, device, on_progress)
    names = {name: name for name in models} | dict(zip(request.models, models, strict=True))
    common = look_up(names, request.common, "model") if request.common else ""
    attack, quick = (
        plan_attack(f"pgd,steps={steps}", protocol.threat_model.norm, image_set.n_classes)
        for steps in (request.steps, min(request.steps, QUICK_STEPS))
    )
    return ComparedModels(
        models=models,
        layers={name: _layers(model, request.layers) for name, model in models.items()},
        image_set=image_set,
        training=load_training(request, protocol, image_set),
        protocol=protocol,
        attack=attack,
        quick=quick,
        device=device,
        wanted=_plan(models, request.comparisons, common),
    )


def _check(request: Request) -> None:
    """Find out before anything is loaded what can be found out by then."""
    if not request.models:
        raise BadValueError("give --model at least once, got none")
    if request.steps < 1:
        raise BadValueError(f"--attack-steps must be at least 1, got {request.steps}")
    for comparison in request.comparisons:
        look_up(COMPARISONS, comparison, "comparison")
    find_estimator(look_up(MEASURES, request.measure, "measure"), request.estimator)
    look_up(POOLINGS, request.pooling, "pooling")


def _load_models(
    request: Request,
    protocol: Protocol,
    image_set: ImageSet,
    device: torch.device,
    on_progress: OnProgress,
) -> dict[str, LoadedModel]:
    models: dict[str, LoadedModel] = {}
    classes: dict[int, str] = {}
    for done, typed in enumerate(request.models):
        on_progress(f"loading {typed}", done, len(request.models))
        name, _, weights = typed.partition("=")
        path = Path(weights) if weights else None
        try:
            model, seen = load_checked(name, request, protocol, image_set, device, weights=path)
        except (ModelError, WeightsError) as error:
            here = f" (here: --model {name}=FILE)" if "--weights" in str(error) else ""
            raise type(error)(f"{typed}: {error}{here}") from error
        if path:  # named after the folder of the training, so that several can be told apart
            model = replace(model, name=f"{model.name}@{path.resolve().parent.name}")
        if model.name in models:
            raise BadValueError(f"models must have different names, got {model.name!r} twice")
        models[model.name] = model
        classes.setdefault(seen.n_classes, typed)
    if len(classes) > 1:
        known = " and ".join(f"{n} of {name!r}" for n, name in classes.items())
        raise BadValueError(f"models must be of the same data, got classes: {known}")
    return models


def _layers(model: LoadedModel, wanted: Sequence[str]) -> Layers:
    try:
        return select_layers(model.network, wanted)
    except UnknownNameError as error:
        raise UnknownNameError(f"{model.name}: {error}") from error


def _plan(
    models: Mapping[str, LoadedModel], comparisons: Sequence[str], common: str
) -> ComparisonPlan:
    compared = [ComparedModel(name, one.scheme, one.scenario) for name, one in models.items()]
    wanted = plan_comparisons(compared, comparisons, common)
    for comparison in comparisons:
        if all(matrix.comparison != comparison for matrix in wanted.matrices):
            raise BadValueError(
                f"comparison {comparison!r} is of {COMPARISONS[comparison].meaning}, "
                f"got no such models in {', '.join(models)}"
            )
    return wanted
