"""clbench's own attacks."""

from dataclasses import dataclass

from clbench.attacks.interface import Attack, Granularity, NativeAttack
from clbench.attacks.native import pgd
from clbench.schema.attack_spec import Component
from clbench.schema.names import NormName

NATIVE: dict[str, NativeAttack] = {attack.row.name: attack for attack in (pgd.ATTACK,)}
"""clbench's own attacks. A new one is one file in ``native/``, and its row here."""


@dataclass(frozen=True)
class Native:
    """clbench itself; results belong to examples, whatever batch they are in."""

    name: str = "native"
    granularity: Granularity = "example"
    distribution: str = "clbench"

    def is_installed(self) -> bool:
        """Say that it always is."""
        return True

    def runs(self, component: str, norm: NormName) -> bool:
        """Say whether clbench has this component in this norm."""
        return component in NATIVE and norm in NATIVE[component].row.norms

    def bind(self, component: Component) -> Attack:
        """Return the attack with these parameters."""
        return NATIVE[component.name].make(component.parameters)
