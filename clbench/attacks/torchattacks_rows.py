"""The attacks of torchattacks: which norm each has, and how eps and step sizes map to it.

Every parameter is the library's own default unless given, with two exceptions. ``eps`` is the
threat model's. The step size ``alpha`` keeps the proportion to eps that the library's defaults
have (such as 2/255 to 8/255), because a fixed one could not even reach the edge of a larger ball.
"""

import inspect
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

from clbench.attacks.autoattack_rows import square_fit
from clbench.attacks.rows import ComponentRow, Fit, Passes, Shape
from clbench.interop.torchattacks import torchattacks_package
from clbench.schema.attack_spec import Option, Parameter
from clbench.schema.errors import BadValueError
from clbench.schema.names import NormName

PREFIX = "torchattacks:"

_LINF: tuple[NormName, ...] = ("Linf",)
_L2: tuple[NormName, ...] = ("L2",)
_NORMS: tuple[NormName, ...] = ("Linf", "L2")


@dataclass(frozen=True)
class Kind:
    """How one class of torchattacks is called.

    ``eps`` is the name of its eps, None for attacks that look for the smallest perturbation and
    know no eps: what they return outside of the ball counts as not broken.
    """

    norms: tuple[NormName, ...] = _LINF
    eps: str | None = "eps"
    channels: int | None = None
    least_classes: int = 2
    black_box: bool = False


KINDS: dict[str, Kind] = {
    **dict.fromkeys(
        ("FGSM", "BIM", "RFGSM", "PGD", "EOTPGD", "FFGSM", "TPGD", "MIFGSM", "UPGD", "DIFGSM",
         "Jitter", "NIFGSM", "PGDRS", "SINIFGSM", "VMIFGSM", "VNIFGSM"),
        Kind(),
    ),
    "TIFGSM": Kind(channels=3),
    "PIFGSM": Kind(eps="max_epsilon", channels=3),
    "PIFGSMPP": Kind(eps="max_epsilon", channels=3),
    "SPSA": Kind(black_box=True),
    "PGDL2": Kind(_L2),
    "PGDRSL2": Kind(_L2),
    "APGD": Kind(_NORMS),
    "APGDT": Kind(_NORMS, least_classes=4),
    "FAB": Kind(_NORMS),
    "Square": Kind(_NORMS, black_box=True),
    "CW": Kind(_L2, eps=None),
    "DeepFool": Kind(_L2, eps=None),
    "EADEN": Kind(_L2, eps=None),
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
_MOVES = {"alpha", "amplification", "c", "delta", "eta", "initial_const", "lr", "scale"}
"""Without these an attack returns the images as they came, or nearly."""
_DLR_CLASSES = 3
_FIRST_SHARE = 0.8  # of an image, which the first window of Square covers by default
_LOSSES = {"UPGD": ("ce", "dlr", "margin"), "APGD": ("ce", "dlr"), "Square": ("margin", "ce")}


@cache
def signature(name: str) -> dict[str, Any]:
    """Return the constructor's arguments and their defaults."""
    arguments = inspect.signature(getattr(torchattacks_package(), name).__init__).parameters
    return {key: argument.default for key, argument in arguments.items()}


def _options(name: str) -> dict[str, Option]:
    options = {}
    for key, default in signature(name).items():
        if key in _GIVEN:
            continue
        choices = _LOSSES.get(name, ()) if key == "loss" else _CHOICES.get(key, ())
        value = float(default) if key in _REAL else default
        options[key] = Option(value, choices, _LEAST.get(key, 1), key in _MOVES)
    return options


def _effective(
    name: str, _norm: NormName, n_classes: int, given: Mapping[str, Parameter]
) -> dict[str, Parameter]:
    """Return every parameter; ``alpha_per_eps`` stands for a step size in proportion to eps."""
    defaults = signature(name)
    if given.get("loss") == "dlr" and n_classes < _DLR_CLASSES:
        raise BadValueError(
            f"attack '{PREFIX}{name}' needs at least {_DLR_CLASSES} classes for loss=dlr, "
            f"got {n_classes}; take loss=ce"
        )
    parameters = {key: option.default for key, option in _options(name).items()} | dict(given)
    if "alpha" in defaults and "alpha" not in given:
        del parameters["alpha"]
        parameters["alpha_per_eps"] = round(defaults["alpha"] / defaults["eps"], 12)
    if "n_classes" in defaults:
        parameters["n_classes"] = n_classes
    return parameters


def _fit(name: str, norm: NormName, shape: Shape) -> Fit:
    channels = KINDS[name].channels
    if channels not in (None, shape[0]):
        return Fit(f"needs images of {channels} channels, got {shape[0]}")
    return _square_fit(norm, shape) if name == "Square" else Fit()


def _square_fit(norm: NormName, shape: Shape) -> Fit:
    """Say whether Square runs: in L2, the library does not keep its first window in the image."""
    _, height, width = shape
    side = max(round(math.sqrt(_FIRST_SHARE * height * width)), 3)
    side += side % 2 == 0
    if norm == "L2" and side > min(height, width):
        return Fit(f"cannot place its first window in L2 on images of {height}x{width}")
    return square_fit(norm, shape)


def _cost(given: Mapping[str, Parameter], _n_classes: int) -> Passes:
    return Passes(*2 * (float(given.get("steps", given.get("n_queries", 1))),))


TORCHATTACKS = tuple(
    ComponentRow(
        name=PREFIX + name,
        about=f"torchattacks' {name}"
        + ("" if kind.eps else ": smallest perturbation, judged by eps"),
        norms=kind.norms,
        options=partial(_options, name),
        parameters=partial(_effective, name),
        cost=_cost,
        is_guessed=True,
        least_classes=kind.least_classes,
        fit=partial(_fit, name),
        bounded=kind.eps is not None,
        black_box=kind.black_box,
    )
    for name, kind in KINDS.items()
)
