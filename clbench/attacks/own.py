"""Attacks of a user's own: ``FILE.py:NAME``, or registered under ``clbench.attacks``.

An attack is a callable of the shape of ``Attack``. A dataclass with such a ``__call__`` has its
fields as options. It may have the attributes ``norms``, ``bounded`` and ``black_box``; without them
it covers every norm, is bounded, and uses gradients. Its results belong to batches.
"""

import dataclasses
from collections.abc import Mapping
from functools import cache, partial
from typing import Any, cast

from jaxtyping import Float, Int
from torch import Tensor, nn

from clbench.attacks.interface import Attack, ComponentRow, Granularity
from clbench.runtime.user_code import UserObject, fingerprint, is_own, load_own
from clbench.schema.attack_spec import Component, Option, Parameter
from clbench.schema.errors import BadValueError, describe
from clbench.schema.names import NORM_NAMES, NormName
from clbench.schema.threat_model import ThreatModel

ENTRY_POINT_GROUP = "clbench.attacks"
"""Where other packages register a name for an attack of theirs."""

_SOURCE = "source"
"""The parameter that tells an attack from the same one after an edit."""


def _load(name: str) -> UserObject:
    return _loaded(name, fingerprint(name))


@cache
def _loaded(name: str, _fingerprint: tuple[str, ...]) -> UserObject:
    """Return an attack, whose source names all files that it is made of."""
    what = f"attack '{name}'"
    found = load_own(what, name, ENTRY_POINT_GROUP, BadValueError)
    if not callable(found.value):
        kind = type(found.value).__name__
        raise BadValueError(f"{what} must be a function or a dataclass that attacks, got {kind}")
    if found.code is None:
        return found
    described = {one: f"{one} sha256:{of[:12]}" for one, of in found.code.files().items()}
    described.pop(found.code.file.name, None)  # it is named already
    return found._replace(source=", ".join((found.source, *described.values())))


def row(name: str) -> ComponentRow:
    """Return what there is to know of an attack of a user's own.

    Raises:
        BadValueError: It cannot be imported, or is no attack.
    """
    found = _load(name)
    return ComponentRow(
        name=name,
        about=_first_line(found.value),
        norms=tuple(getattr(found.value, "norms", NORM_NAMES)),
        options=partial(_options, found.value),
        parameters=partial(_effective, found),
        bounded=bool(getattr(found.value, "bounded", True)),
        black_box=bool(getattr(found.value, "black_box", False)),
    )


@dataclasses.dataclass(frozen=True)
class OwnCode:
    """Code outside of clbench."""

    name: str = "own"
    granularity: Granularity = "batch"
    distribution: str = ""

    def is_installed(self) -> bool:
        """Say that it always is."""
        return True

    def runs(self, component: str, norm: NormName) -> bool:
        """Say whether the code is for this norm."""
        return is_own(component, ENTRY_POINT_GROUP) and norm in row(component).norms

    def bind(self, component: Component) -> Attack:
        """Return the attack with these parameters."""
        value: Any = _load(component.name).value
        given = {key: of for key, of in component.parameters.items() if key != _SOURCE}
        return _Named(component.name, value(**given) if isinstance(value, type) else value)


@dataclasses.dataclass(frozen=True)
class _Named:
    """An attack of a user's own, whose failure is told with its name."""

    name: str
    attack: Attack

    def __call__(
        self,
        model: nn.Module,
        images: Float[Tensor, "n c h w"],
        labels: Int[Tensor, " n"],
        threat_model: ThreatModel,
        *,
        seed: int,
        index: Int[Tensor, " n"],
    ) -> Float[Tensor, "n c h w"]:
        """Return what the user's attack returns.

        Raises:
            BadValueError: It raised, or returned something else than images.
        """
        try:
            found: object = self.attack(model, images, labels, threat_model, seed=seed, index=index)
        except Exception as error:
            raise BadValueError(f"attack '{self.name}' raised {describe(error)}") from error
        if not isinstance(found, Tensor) or found.shape != images.shape:
            got = list(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise BadValueError(
                f"attack '{self.name}' must return images {list(images.shape)}, got {got}"
            )
        return found


def _options(attack: Any) -> dict[str, Option]:  # noqa: ANN401 - whatever the user named
    if not dataclasses.is_dataclass(attack):
        return {}
    defaults = {field.name: field.default for field in dataclasses.fields(attack)}
    if wrong := [name for name, value in defaults.items() if not isinstance(value, Parameter)]:
        raise BadValueError(
            f"options of an attack must have a default that is a number, a word or true or false, "
            f"{wrong[0]!r} has none"
        )
    return {name: Option(cast("Parameter", value)) for name, value in defaults.items()}


def _effective(
    found: UserObject, _n_classes: int, given: Mapping[str, Parameter]
) -> dict[str, Parameter]:
    defaults = {key: option.default for key, option in _options(found.value).items()}
    return {**defaults, **given, _SOURCE: found.source}


def _first_line(attack: Any) -> str:  # noqa: ANN401 - whatever the user named
    return (attack.__doc__ or "").strip().partition("\n")[0]
