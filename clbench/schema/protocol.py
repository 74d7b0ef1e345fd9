"""Evaluation protocols, one TOML file each: data, threat model, attack, sample size and seed."""

import tomllib
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache
from pathlib import Path

from clbench.schema.dataclass_io import from_table
from clbench.schema.errors import BadValueError, describe
from clbench.schema.names import NormName, look_up
from clbench.schema.numbers import LARGEST, whole
from clbench.schema.threat_model import USUAL_EPS, ThreatModel, parse_eps, parse_norm

DEFAULT_PROTOCOL = "digits-linf"

LARGEST_SEED = 2**32 - 1
"""What every generator of random numbers takes."""

SUFFIX = ".toml"
"""How the names of protocols' files end."""

CUSTOM = "custom"
"""The name that a record bears when an option given by hand overrode its protocol."""


@dataclass(frozen=True)
class Protocol:
    """How a model is evaluated, complete: nothing else changes the number.

    ``attack`` is written as on the command line, ``NAME[,key=value...]``; ``n_examples`` counts
    from the first test example in the data set's own order.
    """

    name: str
    dataset: str
    threat_model: ThreatModel
    attack: str
    n_examples: int
    seed: int
    about: str = ""

    def override(
        self,
        *,
        norm: str | None = None,
        eps: str | Fraction | None = None,
        attack: str | None = None,
        n_examples: int | None = None,
        seed: int | None = None,
    ) -> "Protocol":
        """Return this protocol with the given values, named ``custom`` if one of them is another.

        Raises:
            BadValueError: A norm, eps or number of examples that cannot be, or another norm
                without an eps of its own.
        """
        if n_examples is not None:
            n_examples = read_n_examples(n_examples)
        if seed is not None:
            seed = read_seed(seed)
        given = {"attack": attack, "n_examples": n_examples, "seed": seed}
        changed = replace(
            self,
            threat_model=self._threat_model(norm, eps),
            **{name: value for name, value in given.items() if value is not None},  # type: ignore[arg-type]
        )
        return self if changed == self else replace(changed, name=CUSTOM)

    def _threat_model(self, norm: str | None, eps: str | Fraction | None) -> ThreatModel:
        wanted = self.threat_model.norm if norm is None else parse_norm(norm)
        if eps is not None:
            return ThreatModel(wanted, parse_eps(eps))
        if wanted != self.threat_model.norm:
            raise BadValueError(
                f"norm {wanted} needs an eps of its own, such as {USUAL_EPS[wanted]!r}, got none"
            )
        return self.threat_model


def read_seed(value: int | str) -> int:
    """Return a seed.

    Raises:
        BadValueError: It is no whole number that every generator of random numbers takes.
    """
    return whole("--seed", value, 0, LARGEST_SEED)


def read_n_examples(value: int | str) -> int:
    """Return a number of examples.

    Raises:
        BadValueError: It is no whole number from 1 up.
    """
    return whole("--n-examples", value, 1, LARGEST)


def resolve(
    name: str | None,
    *,
    own_data: bool,
    norm: str | None = None,
    eps: str | Fraction | None = None,
    attack: str | None = None,
    n_examples: int | None = None,
    seed: int | None = None,
) -> Protocol:
    """Return the protocol called ``name``, changed where a value is given by hand.

    Args:
        name: None stands for ``DEFAULT_PROTOCOL``.
        own_data: Whether the images are the user's own, which have no threat model of their own.
        norm: As in ``Protocol.override``; so are the others.
        eps: See there.
        attack: See there.
        n_examples: See there.
        seed: See there.

    Raises:
        BadValueError: A value that cannot be, or a threat model left open.
        UnknownNameError: There is no such protocol.
    """
    if own_data and name is None and eps is None:
        wanted = parse_norm(norm) if norm else find_protocol(DEFAULT_PROTOCOL).threat_model.norm
        raise BadValueError(
            f"data of your own has no threat model; give an eps, such as {USUAL_EPS[wanted]!r} (in "
            f"{wanted}), or a protocol"
        )
    changed = find_protocol(name or DEFAULT_PROTOCOL).override(
        norm=norm, eps=eps, attack=attack, n_examples=n_examples, seed=seed
    )
    return replace(changed, name=CUSTOM) if own_data else changed


def config_dir() -> Path:
    """Return the folder of configuration files, in an installed package or the source tree."""
    package = Path(__file__).parents[1]
    installed = package / "configs"
    return installed if installed.is_dir() else package.parent / "configs"


@cache
def protocols() -> dict[str, Protocol]:
    """Return all protocols by name."""
    files = sorted((config_dir() / "protocols").glob("*.toml"))
    return {file.stem: _read(file) for file in files}


def find_protocol(name: str) -> Protocol:
    """Return the protocol called ``name``, or that of a file of the user's own.

    Args:
        name: In capitals or not; or a path that ends with ``.toml``. The protocol of a file bears
            the name of the file with its ending, so that it is none of ours.

    Raises:
        UnknownNameError: There is none; the message suggests the nearest.
        BadValueError: A file that cannot be read, or a field of it that is missing or wrong.
    """
    if name.endswith(SUFFIX):
        return replace(_read(Path(name)), name=Path(name).name)
    return look_up(protocols(), name, "protocol")


@dataclass(frozen=True)
class _File:
    """The fields of a protocol's file."""

    about: str
    dataset: str
    norm: NormName
    eps: Fraction
    attack: str
    n_examples: int
    seed: int


def _read(file: Path) -> Protocol:
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadValueError(f"protocol {file} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise BadValueError(f"protocol {file} is no TOML: {describe(error)}") from error
    found = from_table(_File, table, file.name)
    return Protocol(
        name=file.stem,
        dataset=found.dataset,
        threat_model=ThreatModel(found.norm, found.eps),
        attack=found.attack,
        n_examples=read_n_examples(found.n_examples),
        seed=read_seed(found.seed),
        about=found.about,
    )
