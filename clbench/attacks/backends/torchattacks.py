"""The attacks of torchattacks: which norm each has, and how eps and step sizes map to it.

Every parameter is the library's own default unless given, with two exceptions. ``eps`` is the
threat model's. The step size ``alpha`` keeps the proportion to eps that the library's defaults
have (such as 2/255 to 8/255), because a fixed one could not even reach the edge of a larger ball.
"""

import contextlib
import inspect
import io
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

from jaxtyping import Float, Int
from torch import Tensor, nn

from clbench.attacks.interface import AttackPlan, AttackRow, AttackStep
from clbench.interop.torchattacks import torchattacks_package
from clbench.runtime.seeding import step_seed
from clbench.schema.attack_spec import Option, Parameter
from clbench.schema.errors import BadValueError
from clbench.schema.names import NormName
from clbench.schema.threat_model import ThreatModel

PREFIX = "torchattacks:"
BACKEND = "torchattacks"

_LINF: tuple[NormName, ...] = ("Linf",)
_L2: tuple[NormName, ...] = ("L2",)
_NORMS: tuple[NormName, ...] = ("Linf", "L2")


@dataclass(frozen=True)
class _Kind:
    """How one class of torchattacks is called.

    ``eps`` is the name of its eps, None for attacks that look for the smallest perturbation and
    know no eps: what they return outside of the ball counts as not broken.
    """

    norms: tuple[NormName, ...] = _LINF
    eps: str | None = "eps"
    channels: int | None = None
    least_classes: int = 2
    black_box: bool = False


_KINDS: dict[str, _Kind] = {
    **dict.fromkeys(
        ("FGSM", "BIM", "RFGSM", "PGD", "EOTPGD", "FFGSM", "TPGD", "MIFGSM", "UPGD", "DIFGSM",
         "Jitter", "NIFGSM", "PGDRS", "SINIFGSM", "VMIFGSM", "VNIFGSM"),
        _Kind(),
    ),
    "TIFGSM": _Kind(channels=3),
    "PIFGSM": _Kind(eps="max_epsilon", channels=3),
    "PIFGSMPP": _Kind(eps="max_epsilon", channels=3),
    "SPSA": _Kind(black_box=True),
    "PGDL2": _Kind(_L2),
    "PGDRSL2": _Kind(_L2),
    "APGD": _Kind(_NORMS),
    "APGDT": _Kind(_NORMS, least_classes=4),
    "FAB": _Kind(_NORMS),
    "Square": _Kind(_NORMS, black_box=True),
    "CW": _Kind(_L2, eps=None),
    "DeepFool": _Kind(_L2, eps=None),
    "EADEN": _Kind(_L2, eps=None),
}  # fmt: skip

REFUSED: dict[str, str] = {
    "AutoAttack": "it is not AutoAttack: its attacks run 10 iterations instead of 100; "
    "use --attack autoattack",
    "EADL1": "it covers L1 only",
    **dict.fromkeys(("SparseFool", "OnePixel", "Pixle", "JSMA"), "it covers L0 only"),
    **dict.fromkeys(("VANILA", "GN"), "it is no attack: it knows neither loss nor eps"),
    **dict.fromkeys(("MultiAttack", "LGV"), "it wraps other attacks; name one of those"),
}
"""Classes of torchattacks that stand for nothing here, and why."""

_GIVEN = {"self", "model", "norm", "seed", "verbose", "n_classes", "eps", "max_epsilon"}
_REAL = {"c", "kappa", "scale", "lam", "eps_for_division"}  # some defaults are written as ints
_CHOICES = {
    "noise_type": ("guassian", "uniform"),  # the library's spelling
    "kernel_name": ("gaussian", "linear", "uniform"),
}
_LEAST = {"max_iterations": 10}  # it divides by a tenth of it
_LOSSES = {"UPGD": ("ce", "dlr", "margin"), "APGD": ("ce", "dlr"), "Square": ("margin", "ce")}


@cache
def _signature(name: str) -> dict[str, Any]:
    """Return the constructor's arguments and their defaults."""
    arguments = inspect.signature(getattr(torchattacks_package(), name).__init__).parameters
    return {key: argument.default for key, argument in arguments.items()}


def _options(name: str) -> dict[str, Option]:
    options = {}
    for key, default in _signature(name).items():
        if key in _GIVEN:
            continue
        choices = _LOSSES.get(name, ()) if key == "loss" else _CHOICES.get(key, ())
        value = float(default) if key in _REAL else default
        options[key] = Option(value, choices, _LEAST.get(key, 1))
    return options


@dataclass(frozen=True)
class LibraryAttack:
    """One class of torchattacks; every call builds it anew, as its objects keep state."""

    name: str
    parameters: Mapping[str, Parameter]

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
        """Return what the library's attack returns."""
        kind = _KINDS[self.name]
        if kind.channels not in (None, images.shape[1]):
            raise BadValueError(
                f"attack '{PREFIX}{self.name}' needs images of {kind.channels} channels, "
                f"got {images.shape[1]}"
            )
        arguments = self._arguments(threat_model, step_seed(seed, PREFIX + self.name, index))
        with contextlib.redirect_stdout(io.StringIO()):  # it prints where a model has no weights
            attack: Any = getattr(torchattacks_package(), self.name)(model, **arguments)
        attack.set_device(images.device)
        adversarial: Tensor = attack(images, labels)
        return adversarial

    def _arguments(self, threat_model: ThreatModel, seed: int) -> dict[str, Any]:
        eps, eps_name = float(threat_model.eps), _KINDS[self.name].eps
        arguments: dict[str, Any] = dict(self.parameters)
        if "alpha_per_eps" in arguments:
            arguments["alpha"] = arguments.pop("alpha_per_eps") * eps
        if eps_name is not None:
            arguments[eps_name] = eps
        takes = _signature(self.name)
        offered = {"norm": threat_model.norm, "seed": seed}
        return arguments | {key: value for key, value in offered.items() if key in takes}


def _plan(
    name: str, _norm: NormName, n_classes: int, values: Mapping[str, Parameter]
) -> AttackPlan:
    kind, defaults, full_name = _KINDS[name], _signature(name), PREFIX + name
    if n_classes < kind.least_classes:
        raise BadValueError(
            f"attack {full_name!r} needs at least {kind.least_classes} classes, got {n_classes}"
        )
    parameters = {key: option.default for key, option in _options(name).items()} | dict(values)
    if "alpha" in defaults and "alpha" not in values:
        del parameters["alpha"]
        parameters["alpha_per_eps"] = round(defaults["alpha"] / defaults["eps"], 12)
    if "n_classes" in defaults:
        parameters["n_classes"] = n_classes
    step = AttackStep(
        full_name,
        LibraryAttack(name, parameters),
        parameters,
        bounded=kind.eps is not None,
        black_box=kind.black_box,
        cost=3.0 * int(parameters.get("steps", parameters.get("n_queries", 1))),
    )
    return AttackPlan(full_name, BACKEND, (step,))


ROWS = tuple(
    AttackRow(
        PREFIX + name,
        f"torchattacks' {name}" + ("" if kind.eps else ": smallest perturbation, judged by eps"),
        kind.norms,
        (BACKEND,),
        partial(_options, name),
        partial(_plan, name),
    )
    for name, kind in _KINDS.items()
)
