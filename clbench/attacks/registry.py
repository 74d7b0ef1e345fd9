"""Attacks by name, and the plan that a text such as ``pgd,steps=40,start=zero`` stands for."""

from clbench.attacks.backends import autoattack, torchattacks
from clbench.attacks.interface import AttackPlan, AttackRow
from clbench.attacks.native import pgd
from clbench.schema.attack_spec import read_options
from clbench.schema.errors import BadValueError, InstallationError
from clbench.schema.names import NormName, look_up, unknown

AUTO = "auto"


ATTACKS: dict[str, AttackRow] = {
    row.name: row for row in (*autoattack.ROWS, *pgd.ROWS, *torchattacks.ROWS)
}
"""Every attack that can be named. A new one is one new file with rows, and its rows here."""


BACKENDS: tuple[str, ...] = tuple(
    dict.fromkeys((AUTO, *(backend for row in ATTACKS.values() for backend in row.backends)))
)
"""What ``--backend`` may be; ``auto`` takes what is installed."""


def plan_attack(text: str, norm: NormName, n_classes: int, backend: str = AUTO) -> AttackPlan:
    """Return the plan that ``text`` asks for, written ``NAME[,key=value...]``.

    Args:
        text: An attack's name and its options; options not given have the attack's defaults.
        norm: The norm of the threat model.
        n_classes: How many classes the network tells apart; it limits targeted attacks.
        backend: The package that must run it, or "auto".

    Raises:
        UnknownNameError: An attack, option or backend that there is not.
        BadValueError: A value of the wrong type or range, a norm that the attack does not cover,
            too few classes, or a backend that does not have the attack.
        InstallationError: The package that the attack needs is not installed.

    >>> plan_attack("pgd,steps=40,step_size=1/100,start=zero", "Linf", 10).parameters["pgd"]
    {'steps': 40, 'step_size': 0.01, 'restarts': 1, 'start': 'zero'}
    """
    name, *options = (part.strip() for part in text.split(","))
    _refuse_what_is_no_attack(name)
    row = look_up(ATTACKS, name, "attack")
    if norm not in row.norms:
        raise BadValueError(f"attack {name!r} covers {' and '.join(row.norms)} only, got {norm}")
    _check_backend(row, backend)
    plan = row.plan(norm, n_classes, read_options(name, options, row.options()))
    if backend not in (AUTO, plan.backend):
        raise InstallationError(
            f"backend {backend!r} is not the one installed here, {plan.backend!r}; "
            f"take --backend {plan.backend} or {AUTO}"
        )
    return plan


def _refuse_what_is_no_attack(name: str) -> None:
    bare = name.removeprefix(torchattacks.PREFIX)
    if bare != name and bare in torchattacks.REFUSED:
        raise BadValueError(f"attack {name!r} is refused: {torchattacks.REFUSED[bare]}")


def _check_backend(row: AttackRow, backend: str) -> None:
    if backend not in BACKENDS:
        raise unknown(backend, BACKENDS, "backend")
    if backend not in (AUTO, *row.backends):
        raise BadValueError(
            f"attack {row.name!r} runs on {' or '.join(row.backends)} only, got backend {backend!r}"
        )
