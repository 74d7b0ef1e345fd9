"""Attacks by name, and the plan that a text such as ``pgd,steps=40,start=zero`` stands for."""

from collections.abc import Mapping

from clbench.attacks import own
from clbench.attacks.autoattack_rows import AUTOATTACK, CASCADES
from clbench.attacks.backends.autoattack import AutoAttackPackage
from clbench.attacks.backends.native import NATIVE, Native
from clbench.attacks.backends.torchattacks import Torchattacks
from clbench.attacks.interface import Attack, AttackPlan, AttackStep, Backend, ComponentRow, Shape
from clbench.attacks.torchattacks_rows import PREFIX, REFUSED, TORCHATTACKS
from clbench.runtime.user_code import is_own
from clbench.schema.attack_spec import AttackSpec, Component, Option, Parameter, read_options
from clbench.schema.errors import BadValueError, InstallationError
from clbench.schema.names import NormName, unknown

AUTO = "auto"

COMPONENTS: dict[str, ComponentRow] = {
    row.name: row
    for row in (*AUTOATTACK, *(attack.row for attack in NATIVE.values()), *TORCHATTACKS)
}
"""Every attack that can be a component of another one, or stand alone."""

ATTACKS: dict[str, str] = {
    **{row.name: row.about for row in CASCADES.values()},
    **{row.name: row.about for row in COMPONENTS.values()},
}
"""Every attack that can be named, and what it is."""

BACKENDS: dict[str, Backend] = {
    backend.name: backend
    for backend in (
        Native(),
        AutoAttackPackage("autoattack"),
        AutoAttackPackage("pyautoattack"),
        Torchattacks(),
        own.OwnCode(),
    )
}
"""Who runs components; of several that can, the first one that is installed does."""

_OLD_NAMES = {"clbench": "native"}
"""Backends as version 0.1 called them."""


def plan_attack(text: str, norm: NormName, n_classes: int, backend: str = AUTO) -> AttackPlan:
    """Return the plan that ``text`` asks for, written ``NAME[,key=value...]``.

    Args:
        text: An attack's name and its options; options not given have the attack's defaults. A
            name in ``ATTACKS``, one that a package registered under ``clbench.attacks``, or
            ``FILE.py:NAME``.
        norm: The norm of the threat model.
        n_classes: How many classes the network tells apart; it limits targeted attacks.
        backend: Who must run it, or "auto".

    Raises:
        UnknownNameError: An attack, option or backend that there is not.
        BadValueError: A value of the wrong type or range, a norm that the attack does not cover,
            too few classes, or a backend that does not have the attack.
        InstallationError: The package that the attack needs is not installed.

    >>> plan_attack("pgd,steps=40,step_size=1/100,start=zero", "Linf", 10).spec.parameters["pgd"]
    {'steps': 40, 'step_size': 0.01, 'restarts': 1, 'start': 'zero'}
    """
    name, *options = (part.strip() for part in text.split(","))
    _refuse_what_is_no_attack(name)
    values = read_options(name, options, options_of(name))
    spec = _cascade(name, norm, n_classes) if name in CASCADES else None
    if spec is None:
        component = _component(name, norm, n_classes, values)
        spec = AttackSpec(name, (component,))
    wanted = _OLD_NAMES.get(backend, backend)
    return AttackPlan(spec, tuple(_backend_of(one.name, norm, wanted) for one in spec.components))


def check_images(plan: AttackPlan, norm: NormName, shape: Shape) -> tuple[str, ...]:
    """Return the flags that a plan raises on images of a shape [c, h, w].

    Raises:
        BadValueError: One of its components cannot run on them.
    """
    flags: dict[str, None] = {}
    for component in plan.spec.components:
        fit = component_row(component.name).fit(norm, shape)
        if fit.reason:
            raise BadValueError(f"attack '{component.name}' {fit.reason}")
        flags |= dict.fromkeys(fit.flags)
    return tuple(flags)


def bind(plan: AttackPlan, n_classes: int) -> tuple[AttackStep, ...]:
    """Return the components of a plan, ready to run on networks of so many classes."""
    steps = []
    for component, backend in zip(plan.spec.components, plan.backends, strict=True):
        row = component_row(component.name)
        step = AttackStep(
            name=component.name,
            attack=BACKENDS[backend].bind(component),
            bounded=row.bounded,
            black_box=row.black_box,
            cost=row.cost(component.parameters, n_classes),
        )
        steps.append(step)
    return tuple(steps)


def attack_of(plan: AttackPlan) -> Attack:
    """Return the attack of a plan that has one component."""
    ((component, backend),) = zip(plan.spec.components, plan.backends, strict=True)
    return BACKENDS[backend].bind(component)


def component_row(name: str) -> ComponentRow:
    """Return the row of a component: of the table, or of code of the user's own.

    Raises:
        UnknownNameError: There is none; the message suggests the nearest.
        BadValueError: The user's code is no attack.
    """
    if is_own(name, own.ENTRY_POINT_GROUP):
        return own.row(name)
    if name not in COMPONENTS:
        raise unknown(name, ATTACKS, "attack")
    return COMPONENTS[name]


def norms_of(name: str) -> tuple[NormName, ...]:
    """Return the norms that all components of an attack cover."""
    rows = [component_row(part) for part in _parts(name)]
    return tuple(norm for norm in rows[0].norms if all(norm in row.norms for row in rows))


def options_of(name: str) -> Mapping[str, Option]:
    """Return the options of an attack; the parameters of a cascade are fixed."""
    return {} if name in CASCADES else component_row(name).options()


def _parts(name: str) -> tuple[str, ...]:
    return tuple(part for part, _ in CASCADES[name].components) if name in CASCADES else (name,)


def _cascade(name: str, norm: NormName, n_classes: int) -> AttackSpec:
    wanted = CASCADES[name].components
    possible = [one for one in wanted if n_classes >= COMPONENTS[one[0]].least_classes]
    components = tuple(_component(part, norm, n_classes, given) for part, given in possible)
    return AttackSpec(name, components, ("few_classes",) if len(possible) < len(wanted) else ())


def _component(
    name: str, norm: NormName, n_classes: int, values: Mapping[str, Parameter]
) -> Component:
    row = component_row(name)
    if norm not in row.norms:
        raise BadValueError(f"attack {name!r} covers {' and '.join(row.norms)} only, got {norm}")
    if n_classes < row.least_classes:
        raise BadValueError(
            f"attack {name!r} needs at least {row.least_classes} classes, got {n_classes}"
        )
    return Component(name, row.parameters(n_classes, values))


def _backend_of(component: str, norm: NormName, wanted: str) -> str:
    """Return which backend runs a component: the wanted one, or the first that is installed."""
    able = [backend for backend in BACKENDS.values() if backend.runs(component, norm)]
    names = [backend.name for backend in able]
    if wanted not in (AUTO, *BACKENDS):
        raise unknown(wanted, (AUTO, *BACKENDS), "backend")
    if wanted not in (AUTO, *names):
        raise BadValueError(
            f"attack {component!r} runs on {' or '.join(names)} only, got backend {wanted!r}"
        )
    here = [backend.name for backend in able if backend.is_installed()]
    if wanted == AUTO:
        return here[0] if here else names[-1]
    if wanted not in here:
        instead = f", {here[0]!r}; take --backend {here[0]} or {AUTO}" if here else ""
        raise InstallationError(f"backend {wanted!r} is not the one installed here{instead}")
    return wanted


def _refuse_what_is_no_attack(name: str) -> None:
    bare = name.removeprefix(PREFIX)
    if bare != name and bare in REFUSED:
        raise BadValueError(f"attack {name!r} is refused: {REFUSED[bare]}")
