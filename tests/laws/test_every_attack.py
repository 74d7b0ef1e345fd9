"""Every attack of the table keeps the laws of attacks, in every norm that it covers."""

from collections.abc import Mapping
from fractions import Fraction
from functools import cache
from types import MappingProxyType
from typing import NamedTuple

import pytest

from clbench.attacks.autoattack_rows import AUTOATTACK
from clbench.attacks.grammar import COMPONENTS
from clbench.attacks.registry import BACKENDS, bind, plan_attack
from clbench.runtime.seeding import randomness, step_seed
from clbench.testing.attack_case import AttackCase
from clbench.testing.attacks import ATTACK_LAWS, acts
from clbench.testing.law import check, laws_for
from clbench.testing.problems import N_CLASSES, curved_problem, linear_problem

NOTHING = MappingProxyType({})


class Row(NamedTuple):
    """What is said here of an attack: options that keep a test short, and what it does then."""

    short: Mapping[str, str] = NOTHING
    least_share: float = 0.8
    excused: Mapping[str, str] = NOTHING
    idle: Mapping[str, str] = NOTHING


BEST = {"uses_the_whole_ball": "it returns the clean image where it finds nothing"}
FIXED = {"heeds_the_seed": "it draws no random numbers"}
OWN = {"heeds_the_label": "its loss is the divergence from the network's own clean prediction"}
UNREAD = dict.fromkeys(("momentum", "prob"), "torchattacks 3.5.1 stores it and never reads it")
LATE = {"rho": "an image leaves as soon as it is broken, which here is before the first checkpoint"}
BEYOND = {"beta": "an image leaves as soon as it is broken, and none is broken outside of the ball"}
LONG = {"n_iter": "12"}
PAST = {"kappa": "it moves what is already misclassified, of which the nearest is kept"}

ROWS = {
    "apgd-ce": Row({"n_iter": "5"}, excused=BEST),
    "apgd-dlr": Row({"n_iter": "5"}, excused=BEST),
    "apgd-t": Row({"n_iter": "5"}, excused=BEST),
    "fab": Row({"n_iter": "5"}, excused=BEST | FIXED),
    "fab-t": Row({"n_iter": "5"}, excused=BEST | FIXED),
    "square": Row({"n_queries": "100"}, 0.4, excused=BEST),
    "apgd-margin": Row(LONG, excused=BEST, idle=LATE),
    "pgd-targets": Row({"n_iter": "3", "n_iter_nearest": "4"}, excused=BEST),
    "pgd": Row({"steps": "8"}),
    "torchattacks:FGSM": Row(excused=FIXED),
    "torchattacks:BIM": Row(excused=FIXED),
    "torchattacks:TPGD": Row(least_share=0.6, excused=OWN),
    "torchattacks:MIFGSM": Row(excused=FIXED),
    "torchattacks:UPGD": Row(excused=FIXED),
    "torchattacks:DIFGSM": Row(least_share=0.6),
    "torchattacks:Jitter": Row(least_share=0.7),
    "torchattacks:NIFGSM": Row(excused=FIXED),
    "torchattacks:SINIFGSM": Row(excused=FIXED),
    "torchattacks:TIFGSM": Row(least_share=0.4),
    "torchattacks:PIFGSM": Row(excused=FIXED, idle=UNREAD),
    "torchattacks:PIFGSMPP": Row(least_share=0.6, excused=FIXED, idle=UNREAD),
    "torchattacks:SPSA": Row({"nb_sample": "16"}, 0.4),
    "torchattacks:APGD": Row({"steps": "4"}, excused=BEST),
    "torchattacks:APGDT": Row({"steps": "5"}, excused=BEST),
    "torchattacks:FAB": Row({"steps": "5"}, excused=BEST | FIXED),
    "torchattacks:Square": Row({"n_queries": "100"}, 0.4, excused=BEST),
    "torchattacks:CW": Row({"steps": "40", "lr": "1/1000"}, 0.6, FIXED, PAST),
    "torchattacks:DeepFool": Row({"steps": "10"}, excused=FIXED),
    "torchattacks:EADEN": Row({"max_iterations": "10"}, 0.7, FIXED),
}
"""By attack; one that is not here runs with its defaults and is excused from nothing."""

OURS = {
    "apgd-ce": Row(LONG, excused=BEST, idle=LATE),
    "apgd-dlr": Row(LONG, excused=BEST, idle=LATE),
    "apgd-t": Row(LONG, excused=BEST, idle=LATE),
    "fab": Row({"n_iter": "5"}, excused=BEST | FIXED, idle=BEYOND),
    "fab-t": Row({"n_iter": "5"}, excused=BEST | FIXED, idle=BEYOND),
}
"""The same of attacks that a package has too, run by clbench itself."""

CHANGED = {
    "batch_max": "60",  # less than all noise, not less than that of one image
    "kappa": "1",
    "len_kernel": "5",  # an even one makes torch warn
    "max_batch_size": "4",
    "n_nearest": "1",
    "n_target_classes": "2",
    "overshoot": "1/2",
    "rho": "3/2",  # halves the step at every check, which a few steps can show
}
"""Values that options are changed to, where not to half their default or one more than it."""


def changed_value(key, option, now):
    if key in CHANGED:
        return CHANGED[key]
    if option.choices:
        return next(choice for choice in option.choices if choice != now)
    if isinstance(now, bool):
        return str(not now).lower()
    return str(now + 1) if isinstance(now, int) else str(Fraction(now / 2) + Fraction(1, 100))


def row_of(name, backend):
    return OURS.get(name, ROWS.get(name, Row())) if backend == "native" else ROWS.get(name, Row())


def bound(name, norm, options, backend):
    """Return the one component of a plan, ready to run, its parameters and its granularity.

    Attacks of packages draw from the global random numbers, which their caller seeds.
    """
    text = ",".join([name, *(f"{key}={value}" for key, value in options.items())])
    plan = plan_attack(text, norm, N_CLASSES, backend)
    (step,), (component,), (backend,) = (
        bind(plan, N_CLASSES),
        plan.spec.components,
        plan.backends,
    )
    granularity = BACKENDS[backend].granularity

    def seeded(model, images, labels, threat_model, *, seed, index):
        with randomness(step_seed(seed, step.name, index)):
            return step.attack(model, images, labels, threat_model, seed=seed, index=index)

    attack = step.attack if granularity == "example" else seeded
    return attack, component.parameters, granularity


@cache
def case_of(name, norm, backend):
    said, row = row_of(name, backend), COMPONENTS[name]
    attack, parameters, granularity = bound(name, norm, said.short, backend)
    changed = {}
    for key, option in row.options().items():
        if option.norms and norm not in option.norms:
            continue
        value = changed_value(key, option, parameters.get(key, option.default))
        changed[key], _, _ = bound(name, norm, {**said.short, key: value}, backend)
    return AttackCase(
        name=f"{name} in {norm} by {backend}",
        attack=attack,
        linear=linear_problem(norm),
        curved=curved_problem(norm),
        least_share=said.least_share,
        bounded=row.bounded,
        black_box=row.black_box,
        granularity=granularity,
        changed=changed,
        idle=said.idle,
        excused=said.excused,
    )


BY = {row.name: ("pyautoattack", "native") for row in AUTOATTACK}
SINGLE = [
    (name, norm, backend)
    for name, row in COMPONENTS.items()
    for norm in row.norms
    for backend in BY.get(name, ("auto",))
]
LAWFUL = [(*one, law) for one in SINGLE for law in laws_for(ATTACK_LAWS, case_of(*one))]
EXCUSED = [(*one, law) for one in SINGLE for law in row_of(one[0], one[2]).excused]
IDLE = [
    (*one, option)
    for one in SINGLE
    for option in row_of(one[0], one[2]).idle
    if option in case_of(*one).changed
]


@pytest.mark.parametrize(("name", "norm", "backend", "law"), LAWFUL, ids=map("-".join, LAWFUL))
def test_every_attack_keeps_the_laws(name, norm, backend, law):
    check(ATTACK_LAWS, case_of(name, norm, backend), [law])


@pytest.mark.parametrize(("name", "norm", "backend", "law"), EXCUSED, ids=map("-".join, EXCUSED))
def test_an_attack_is_excused_only_from_what_it_breaks(name, norm, backend, law):
    with pytest.raises(AssertionError, match=f"breaks the law '{law}'"):
        check(ATTACK_LAWS, case_of(name, norm, backend), [law])


@pytest.mark.parametrize(("name", "norm", "backend", "option"), IDLE, ids=map("-".join, IDLE))
def test_an_option_is_called_idle_only_where_it_is(name, norm, backend, option):
    case = case_of(name, norm, backend)
    assert not acts(case, case.changed[option])
