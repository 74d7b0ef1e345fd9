"""Who runs attacks, and the plan that a text such as ``pgd,steps=40,start=zero`` stands for."""

from collections.abc import Sequence

from clbench.attacks.backends.autoattack import AutoAttackPackage
from clbench.attacks.backends.native import Native
from clbench.attacks.backends.own import OwnCode
from clbench.attacks.backends.torchattacks import Torchattacks
from clbench.attacks.grammar import component_row, read_attack
from clbench.attacks.interface import Attack, AttackPlan, AttackStep, Backend
from clbench.attacks.rows import Shape
from clbench.schema.errors import BadValueError, InstallationError
from clbench.schema.names import NormName, unknown
from clbench.schema.shard import Shard

AUTO = "auto"

BACKENDS: dict[str, Backend] = {
    backend.name: backend
    for backend in (
        Native(),
        AutoAttackPackage("autoattack"),
        AutoAttackPackage("pyautoattack"),
        Torchattacks(),
        OwnCode(),
    )
}
"""Who runs components; of several that can, the first one that is installed does."""

_OLD_NAMES = {"clbench": "native"}
"""Backends as version 0.1 called them."""


def plan_attack(text: str, norm: NormName, n_classes: int, backend: str = AUTO) -> AttackPlan:
    """Return the plan that ``text`` asks for, written as ``read_attack`` reads it.

    Args:
        text: Names of attacks and their options.
        norm: The norm of the threat model.
        n_classes: How many classes the network tells apart; it limits targeted attacks.
        backend: Who must run it, or "auto".

    Raises:
        UnknownNameError: An attack, option or backend that there is not.
        BadValueError: As ``read_attack``; or a backend that does not have the attack.
        InstallationError: The package that the attack needs is not installed.

    >>> plan_attack("pgd,steps=40,step_size=1/100,start=zero", "Linf", 10).spec.parameters["pgd"]
    {'steps': 40, 'step_size': 0.01, 'restarts': 1, 'start': 'zero'}
    """
    spec = read_attack(text, norm, n_classes)
    wanted = _OLD_NAMES.get(backend, backend)
    return AttackPlan(spec, tuple(_backend_of(one.code, norm, wanted) for one in spec.components))


def check_images(plan: AttackPlan, norm: NormName, shape: Shape) -> tuple[str, ...]:
    """Return the flags that a plan raises on images of a shape [c, h, w].

    Raises:
        BadValueError: One of its components cannot run on them.
    """
    flags: dict[str, None] = {}
    for component, _ in plan.rows:
        fit = component_row(component.code).fit(norm, shape)
        if fit.reason:
            raise BadValueError(f"attack '{component.name}' {fit.reason}")
        flags |= dict.fromkeys(fit.flags)
    return tuple(flags)


def check_can_be_cut(plan: AttackPlan, norm: NormName, shard: Shard) -> None:
    """Check that what a plan finds for an example does not depend on the others.

    Raises:
        BadValueError: It depends on the batch, so that shards would find something else.
    """
    batchwise = [one for one in plan.rows if BACKENDS[one[1]].granularity == "batch"]
    if not batchwise:
        return
    component, backend = batchwise[0]
    can = BACKENDS["native"].runs(component.code, norm)
    remedy = "take --backend native" if can else "run it in one piece"
    raise BadValueError(
        f"shard {shard} cannot be run by backend {backend!r}, whose results for "
        f"{component.name!r} belong to whole batches; {remedy}"
    )


def bind(plan: AttackPlan, n_classes: int) -> tuple[AttackStep, ...]:
    """Return the components of a plan, ready to run on networks of so many classes."""
    steps = []
    for component, backend in plan.rows:
        row = component_row(component.code)
        step = AttackStep(
            name=component.name,
            attack=BACKENDS[backend].bind(component),
            bounded=row.bounded,
            black_box=row.black_box,
            passes=row.cost(component.parameters, n_classes),
            is_guessed=row.is_guessed,
        )
        steps.append(step)
    return (*steps, *plan.given)


def check_needs_no_gradient(steps: Sequence[AttackStep], attack: str) -> None:
    """Check that an attack can be run on a network that gives no gradient at its images.

    Raises:
        BadValueError: A component needs one.
    """
    blind = [one.name for one in steps if not one.black_box]
    if blind:
        raise BadValueError(
            f"no gradient of the network reaches its images, without which {', '.join(blind)} find "
            f"nothing, got attack {attack!r}; use --attack square, which asks for answers alone"
        )


def attack_of(plan: AttackPlan) -> Attack:
    """Return the attack of a plan that has one component."""
    ((component, backend),) = zip(plan.spec.components, plan.backends, strict=True)
    return BACKENDS[backend].bind(component)


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
