"""From models that a user names to matrices, tables and figures."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from clbench.analysis.figures import FORMATS, draw
from clbench.analysis.pages import pages
from clbench.analysis.result import SCHEMA_VERSION, Analysis, Description, Matrix
from clbench.analysis.store import save
from clbench.attacks import AttackPlan, plan_attack
from clbench.data import EvalSet
from clbench.errors import BadValueError, ModelError, UnknownNameError
from clbench.evaluate import perturb
from clbench.loading import Setup, data_entry, load_checked, load_data, model_entry, settle
from clbench.models import LoadedModel
from clbench.models.device import device_name, find_device
from clbench.names import look_up
from clbench.probes import Inputs, View, compare, select_taps
from clbench.probes.engine import DEFAULT_ESTIMATOR
from clbench.probes.estimators import ESTIMATORS
from clbench.probes.kinds import KINDS, Plan, Subject, plan
from clbench.probes.taps import Taps
from clbench.protocol import Protocol
from clbench.provenance import commit, make_folder, utc_now, versions
from clbench.record import AttackEntry, ThreatEntry
from clbench.threat import format_eps

DEFAULT_STEPS = 40
"""Steps of the attack, those of the CKA columns."""

FIGURES = "figures"
"""The folder of the figures, inside that of the comparison."""

Watch = Callable[[str, int, int], None]
"""Told what is being done, how much of it is done, and how much there is."""

Adversarial = dict[str, Float[Tensor, "n c h w"]]


@dataclass(frozen=True, kw_only=True)
class Request(Setup):
    """What a user asked for, as typed; empty stands for everything, or the usual."""

    models: Sequence[str]
    kinds: Sequence[str] = ()
    common: str = ""
    taps: Sequence[str] = ()
    estimator: str = DEFAULT_ESTIMATOR
    steps: int = DEFAULT_STEPS
    device: str = "auto"
    out: Path = Path("probe")
    draw: bool = True


@dataclass(frozen=True)
class _Subjects:
    """The models, what they are shown, and how they are attacked; ``models`` are by name."""

    models: Mapping[str, LoadedModel]
    evalset: EvalSet
    protocol: Protocol
    attack: AttackPlan
    device: torch.device
    wanted: Plan


def run(request: Request, watch: Watch = lambda _what, _done, _total: None) -> Analysis:
    """Compare the models of a request, and write matrices, tables, figures and description.

    Raises:
        ClbenchError: The request, the data, a model or the place to write cannot be used.
    """
    _check(request)
    make_folder(request.out)
    found = analyse(request, watch)
    drawn = _drawn(found, watch) if request.draw else {}
    return save(found, request.out, drawn)


def analyse(request: Request, watch: Watch = lambda _what, _done, _total: None) -> Analysis:
    """Return how alike the models of a request see the same images; nothing is written.

    Every model is attacked once, and all matrices come from one pass over the images.

    Raises:
        ClbenchError: The request, the data or a model cannot be used.
    """
    started = time.perf_counter()
    subjects = _load(request, watch)
    views = _views(subjects, request.taps, _attack(subjects, watch))
    similar = compare(
        views,
        subjects.wanted.pairs,
        device=subjects.device,
        estimator=request.estimator,
        seed=subjects.protocol.seed,
        on_progress=partial(watch, "comparing"),
    )
    matrices = tuple(
        Matrix(kind, rows.model, columns.model, similar.block(rows.name, columns.name))
        for kind, rows, columns in subjects.wanted.matrices
    )
    return Analysis(_describe(request, subjects, time.perf_counter() - started), matrices)


def _check(request: Request) -> None:
    """Find out before anything is loaded what can be found out by then."""
    if not request.models:
        raise BadValueError("give --model at least once, got none")
    if request.steps < 1:
        raise BadValueError(f"--attack-steps must be at least 1, got {request.steps}")
    for kind in request.kinds:
        look_up(KINDS, kind, "kind of comparison")
    look_up(ESTIMATORS, request.estimator, "estimator")


def _load(request: Request, watch: Watch) -> _Subjects:
    protocol, device = settle(request), find_device(request.device)
    evalset = load_data(request, protocol)
    models: dict[str, LoadedModel] = {}
    names: dict[str, str] = {}
    classes: dict[int, str] = {}
    for done, typed in enumerate(request.models):
        watch(f"loading {typed}", done, len(request.models))
        model, seen = _load_one(typed, request, protocol, evalset, device)
        if model.name in models:
            raise BadValueError(f"models must have different names, got {model.name!r} twice")
        models[model.name] = model
        names |= {typed: model.name, model.name: model.name}
        classes.setdefault(seen.n_classes, typed)
    if len(classes) > 1:
        known = " and ".join(f"{n} of {name!r}" for n, name in classes.items())
        raise BadValueError(f"models must know the same classes, got {known}")
    common = look_up(names, request.common, "model") if request.common else ""
    text = f"pgd,steps={request.steps}"
    attack = plan_attack(text, protocol.threat_model.norm, evalset.n_classes)
    wanted = _plan(models, request.kinds, common)
    return _Subjects(models, evalset, protocol, attack, device, wanted)


def _load_one(
    name: str, request: Request, protocol: Protocol, evalset: EvalSet, device: torch.device
) -> tuple[LoadedModel, EvalSet]:
    try:
        return load_checked(name, request, protocol, evalset, device)
    except ModelError as error:
        raise ModelError(f"{name}: {error}") from error


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


def _attack(subjects: _Subjects, watch: Watch) -> Adversarial:
    return {
        name: perturb(
            subjects.models[name].network,
            subjects.evalset,
            subjects.protocol.threat_model,
            seed=subjects.protocol.seed,
            batch_size=None,
            device=subjects.device,
            attack=subjects.attack.steps[0].attack,
            on_progress=partial(watch, f"attacking {name}"),
        )
        for name in subjects.wanted.attacked
    }


def _views(subjects: _Subjects, taps: Sequence[str], adversarial: Adversarial) -> list[View]:
    evalset, chosen = subjects.evalset, {}
    for name, model in subjects.models.items():
        chosen[name] = _taps(name, model, taps)
    inputs = {"": Inputs(evalset.images, evalset.sha256)} | {
        name: Inputs(images, evalset.sha256, name) for name, images in adversarial.items()
    }
    return [
        View(
            sight.name,
            subjects.models[sight.model].network,
            inputs[sight.against],
            chosen[sight.model],
        )
        for sight in subjects.wanted.sights
    ]


def _taps(name: str, model: LoadedModel, wanted: Sequence[str]) -> Taps:
    try:
        return select_taps(model.network, wanted)
    except UnknownNameError as error:
        raise UnknownNameError(f"{name}: {error}") from error


def _describe(request: Request, subjects: _Subjects, seconds: float) -> Description:
    protocol, attack = subjects.protocol, subjects.attack
    common = {
        sight.against for sight in subjects.wanted.sights if sight.against not in ("", sight.model)
    }
    return Description(
        schema_version=SCHEMA_VERSION,
        protocol=protocol.name,
        models=tuple(model_entry(model) for model in subjects.models.values()),
        data=data_entry(subjects.evalset),
        threat_model=ThreatEntry(protocol.threat_model.norm, format_eps(protocol.threat_model.eps)),
        attack=AttackEntry(attack.name, attack.backend, attack.parameters, attack.hash),
        kinds=tuple(dict.fromkeys(matrix.kind for matrix in subjects.wanted.matrices)),
        common=next(iter(common), ""),
        taps=tuple(request.taps),
        estimator=request.estimator,
        seed=protocol.seed,
        device=device_name(subjects.device),
        wall_s=round(seconds, 1),
        versions=versions(),
        commit=commit(),
        created=utc_now(),
        files={},
    )


def _drawn(analysis: Analysis, watch: Watch) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    for name, figure in pages(analysis):
        watch(f"drawing {name}", len(files), 0)
        files |= {f"{FIGURES}/{name}.{form}": draw(figure, form) for form in FORMATS}
    return files
