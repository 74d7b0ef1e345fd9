"""What is to be compared: the models of a request with their taps, images and matrices."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from clbench.analysis.comparisons import KINDS, Plan, Subject, plan
from clbench.attacks.interface import AttackPlan
from clbench.attacks.registry import plan_attack
from clbench.data.image_set import ImageSet
from clbench.loading import Setup, load_checked, load_data, load_training, settle
from clbench.models import LoadedModel
from clbench.probes.interface import Watch
from clbench.probes.layers import Taps, select_taps
from clbench.probes.linear.pooling import DEFAULT_EXTENT, EXTENTS
from clbench.probes.similarity.compare import DEFAULT_ESTIMATOR
from clbench.probes.similarity.estimators import ESTIMATORS
from clbench.runtime.devices import find_device
from clbench.schema.errors import BadValueError, ModelError, UnknownNameError, WeightsError
from clbench.schema.names import look_up
from clbench.schema.protocol import Protocol

DEFAULT_STEPS = 40
"""Steps of the attack, those of the CKA columns."""

QUICK_STEPS = 10
"""Steps of a first attack on layer probes, which most examples do not withstand."""


Adversarial = Mapping[str, Float[Tensor, "n c h w"]]
"""The images that were made against each model."""


@dataclass(frozen=True, kw_only=True)
class Request(Setup):
    """What a user asked for, as typed; empty stands for everything, or the usual."""

    models: Sequence[str]
    kinds: Sequence[str] = ()
    common: str = ""
    taps: Sequence[str] = ()
    estimator: str = DEFAULT_ESTIMATOR
    extent: str = DEFAULT_EXTENT
    steps: int = DEFAULT_STEPS
    device: str = "auto"
    out: Path = Path("probe")
    draw: bool = True


@dataclass(frozen=True)
class Subjects:
    """The models and their taps by name, what they are shown, and how they are attacked.

    ``training`` are images to fit layer probes on and to choose by, None where none are wanted;
    ``quick`` is a shorter attack, to save time where only examples that stand are attacked.
    """

    models: Mapping[str, LoadedModel]
    taps: Mapping[str, Taps]
    image_set: ImageSet
    training: tuple[ImageSet, ImageSet] | None
    protocol: Protocol
    attack: AttackPlan
    quick: AttackPlan
    device: torch.device
    wanted: Plan

    @property
    def attacked(self) -> tuple[str, ...]:
        """The models that adversarial images are to be made against."""
        return tuple(self.models) if self.training else self.wanted.attacked


def load_subjects(request: Request, watch: Watch) -> Subjects:
    """Return all that a request names, loaded and checked.

    Raises:
        ClbenchError: A value, a model, a tap or the data cannot be used, or the models are of
            different data.
    """
    _check(request)
    protocol, device = settle(request), find_device(request.device)
    image_set = load_data(request, protocol)
    models = _load_models(request, protocol, image_set, device, watch)
    names = {name: name for name in models} | dict(zip(request.models, models, strict=True))
    common = look_up(names, request.common, "model") if request.common else ""
    attack, quick = (
        plan_attack(f"pgd,steps={steps}", protocol.threat_model.norm, image_set.n_classes)
        for steps in (request.steps, min(request.steps, QUICK_STEPS))
    )
    return Subjects(
        models=models,
        taps={name: _taps(model, request.taps) for name, model in models.items()},
        image_set=image_set,
        training=load_training(request, protocol, image_set),
        protocol=protocol,
        attack=attack,
        quick=quick,
        device=device,
        wanted=_plan(models, request.kinds, common),
    )


def _check(request: Request) -> None:
    """Find out before anything is loaded what can be found out by then."""
    if not request.models:
        raise BadValueError("give --model at least once, got none")
    if request.steps < 1:
        raise BadValueError(f"--attack-steps must be at least 1, got {request.steps}")
    for kind in request.kinds:
        look_up(KINDS, kind, "kind of comparison")
    look_up(ESTIMATORS, request.estimator, "estimator")
    look_up(EXTENTS, request.extent, "extent")


def _load_models(
    request: Request, protocol: Protocol, image_set: ImageSet, device: torch.device, watch: Watch
) -> dict[str, LoadedModel]:
    models: dict[str, LoadedModel] = {}
    classes: dict[int, str] = {}
    for done, typed in enumerate(request.models):
        watch(f"loading {typed}", done, len(request.models))
        name, _, weights = typed.partition("=")
        path = Path(weights) if weights else None
        try:
            model, seen = load_checked(name, request, protocol, image_set, device, weights=path)
        except (ModelError, WeightsError) as error:
            here = f" (here: --model {name}=FILE)" if "--weights" in str(error) else ""
            raise type(error)(f"{typed}: {error}{here}") from error
        if path:  # named after the folder of the training, so that several of a kind can be told
            model = replace(model, name=f"{model.name}@{path.resolve().parent.name}")
        if model.name in models:
            raise BadValueError(f"models must have different names, got {model.name!r} twice")
        models[model.name] = model
        classes.setdefault(seen.n_classes, typed)
    if len(classes) > 1:
        known = " and ".join(f"{n} of {name!r}" for n, name in classes.items())
        raise BadValueError(f"models must be of the same data, got classes: {known}")
    return models


def _taps(model: LoadedModel, wanted: Sequence[str]) -> Taps:
    try:
        return select_taps(model.network, wanted)
    except UnknownNameError as error:
        raise UnknownNameError(f"{model.name}: {error}") from error


def _plan(models: Mapping[str, LoadedModel], kinds: Sequence[str], common: str) -> Plan:
    subjects = [Subject(name, one.scheme, one.scenario) for name, one in models.items()]
    wanted = plan(subjects, kinds, common)
    for kind in kinds:
        if all(matrix.kind != kind for matrix in wanted.matrices):
            raise BadValueError(
                f"kind {kind!r} is of {KINDS[kind].meaning}, got no such models in "
                f"{', '.join(models)}"
            )
    return wanted
