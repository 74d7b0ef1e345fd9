"""What is to be compared: models with their layers, the images, and the matrices."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from clbench.analysis.comparisons import (
    COMPARISONS,
    ComparedModel,
    ComparisonPlan,
    any_attacked,
    pixels,
    plan_comparisons,
    untrained,
)
from clbench.analysis.options import (
    QUICK_STEPS,
    ProbeOptions,
    check_options,
    settled_permutations,
)
from clbench.attacks.interface import AttackPlan
from clbench.attacks.registry import plan_attack
from clbench.data.image_set import ImageSet
from clbench.data.load import evaluated_images
from clbench.data.splits import probe_training
from clbench.data.stored import Images
from clbench.models.argument import read_argument
from clbench.models.interface import LoadedModel
from clbench.models.load import load_for, tell_of_default_images
from clbench.models.names import check_name
from clbench.probes import controls
from clbench.probes.layers import Layers, select_layers
from clbench.probes.similarity.estimators import find_estimator
from clbench.probes.similarity.measures import find_measure
from clbench.runtime.devices import find_device
from clbench.schema.by_model import by_model
from clbench.schema.errors import BadValueError, ModelError, UnknownNameError, WeightsError
from clbench.schema.names import look_up
from clbench.schema.progress import OnProgress
from clbench.schema.protocol import Protocol

_UNTRAINED_SEED = 0
"""Of the weights of networks that have learnt nothing."""

Adversarial = Mapping[str, Images]
"""The images that were made against each model."""


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
    measure: str
    estimator: str
    permutations: int

    @property
    def attacked(self) -> tuple[str, ...]:
        """The models that adversarial images are to be made against."""
        others = tuple(self.models) if self.training else ()
        return tuple(dict.fromkeys((*others, *self.wanted.attacked)))

    @cached_property
    def networks(self) -> dict[str, tuple[nn.Module, Layers]]:
        """The networks that are looked at with their layers, by name: models and their controls."""
        found = {name: (model.network, self.layers[name]) for name, model in self.models.items()}
        for name, (network, layers) in tuple(found.items()):
            if self.wanted.uses(untrained(name)):
                found[untrained(name)] = controls.untrained(network, layers, seed=_UNTRAINED_SEED)
            if self.wanted.uses(pixels(name)):
                found[pixels(name)] = controls.pixels()
        return found


class _Named(NamedTuple):
    """A model as it was given: the name it is to have ("": its own), and what it is."""

    name: str
    what: str | nn.Module
    weights: Path | None = None

    @property
    def typed(self) -> str:
        """What a user would recognise."""
        what = self.what if isinstance(self.what, str) else type(self.what).__name__
        if self.weights:
            return f"{what}={self.weights}"
        return f"{self.name}={what}" if self.name else what


def load_models(options: ProbeOptions, on_progress: OnProgress) -> ComparedModels:
    """Return all that was asked for, loaded and checked.

    Raises:
        ClbenchError: A value, a model, a layer or the data cannot be used, or the models are of
            different data.
    """
    check_options(options)
    protocol, device = options.settled, find_device(options.device)
    images, dataset = evaluated_images(
        protocol,
        options.data,
        named=options.protocol is not None,
        n_examples=options.n_examples,
        data_dir=options.data_dir,
        download=options.download,
    )
    given, norm = _named(options.models), protocol.threat_model.norm
    attacked = any_attacked(options.comparisons)
    load = partial(
        load_for,
        images=images,
        dataset=dataset,
        norm=norm,
        device=device,
        preprocessing=options.preprocessing,
        classifier=attacked,
    )
    models = _load_all(given, options.output, load, on_progress)
    if options.protocol is None and not options.own_data:
        for model in models.values():
            tell_of_default_images(model, images)
    names = {name: name for name in models}
    names |= {one.typed: name for one, name in zip(given, models, strict=True)}
    common = look_up(names, options.common, "model") if options.common else ""
    estimator = find_estimator(find_measure(options.measure), options.estimator)
    attack, quick = (
        plan_attack(f"pgd,steps={steps}", protocol.threat_model.norm, images.n_classes)
        for steps in (options.attack_steps, min(options.attack_steps, QUICK_STEPS))
    )
    return ComparedModels(
        models=models,
        layers=_all_layers(models, names, options.layers),
        image_set=images,
        training=_training(options, protocol, images),
        protocol=protocol,
        attack=attack,
        quick=quick,
        device=device,
        wanted=_plan(models, options.comparisons, common),
        measure=options.measure,
        estimator=estimator.name,
        permutations=settled_permutations(options.permutations, estimator),
    )


def _training(
    options: ProbeOptions, protocol: Protocol, images: ImageSet
) -> tuple[ImageSet, ImageSet] | None:
    if not options.linear_probes:
        return None
    return probe_training(
        images,
        None if options.own_data else protocol.dataset,
        files=options.train_data,
        data_dir=options.data_dir,
        download=options.download,
    )


def _named(
    models: Sequence[str | Path | nn.Module] | Mapping[str, str | Path | nn.Module],
) -> list[_Named]:
    if isinstance(models, Mapping):
        return [_Named(name, _spelled(what)) for name, what in models.items()]
    return [
        _Named(*read_argument(one)) if isinstance(one, str) else _Named("", _spelled(one))
        for one in models
    ]


def _spelled(what: str | Path | nn.Module) -> str | nn.Module:
    return str(what) if isinstance(what, Path) else what


def _load_all(
    given: Sequence[_Named],
    wanted: Sequence[str],
    load: Callable[..., tuple[LoadedModel, ImageSet]],
    on_progress: OnProgress,
) -> dict[str, LoadedModel]:
    outputs = by_model([one.typed for one in given], wanted, option="--output", value="ENTRY")
    models: dict[str, LoadedModel] = {}
    classes: dict[int, str] = {}
    for done, one in enumerate(given):
        on_progress(f"loading {one.typed}", done, len(given))
        try:
            loaded, seen = load(one.what, weights=one.weights, output=outputs.get(one.typed))
        except (ModelError, WeightsError) as error:
            here = f" (here: --model {one.typed}=FILE)" if "--weights" in str(error) else ""
            raise type(error)(f"{one.typed}: {error}{here}") from error
        if isinstance(one.what, str):
            check_name(one.name, loaded)
        name = one.name or loaded.name
        if one.weights and not one.name:  # by the folder of the training, so that several differ
            name = f"{name}@{one.weights.resolve().parent.name}"
        if name in models:
            raise BadValueError(
                f"models must have different names, got {name!r} twice; "
                f"name one: --model NAME={one.typed}"
            )
        models[name] = replace(loaded, name=name)
        classes.setdefault(seen.n_classes, one.typed)
    if len(classes) > 1:
        known = " and ".join(f"{n} of {name!r}" for n, name in classes.items())
        raise BadValueError(f"models must be of the same data, got classes: {known}")
    return models


def _all_layers(
    models: Mapping[str, LoadedModel], names: Mapping[str, str], wanted: Sequence[str]
) -> dict[str, Layers]:
    """Return the layers of every model that were asked for: of all, or ``NAME:LAYER`` of one.

    ``names`` are the models' and what a user typed for them.
    """
    of_one: dict[str, list[str]] = {name: [] for name in models}
    for one in wanted:
        # names may hold colons themselves
        prefixes = [typed for typed in names if one.startswith(f"{typed}:")]
        longest = max(prefixes, key=len, default="")
        layer = one.removeprefix(f"{longest}:") if longest else one
        for name in [names[longest]] if longest else models:
            of_one[name].append(layer)
    return {name: _layers(model, of_one[name]) for name, model in models.items()}


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
