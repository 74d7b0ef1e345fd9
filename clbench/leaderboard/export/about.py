"""What other leaderboards want to know of a network and records do not: a file of the user's."""

import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from clbench.schema.dataclass_io import from_table
from clbench.schema.errors import BadValueError, describe
from clbench.schema.names import unknown
from clbench.schema.text import shown

_LINK = re.compile(r"https?://[^\s<>\"'`\\]+")
"""An address that can stand in a page as it is."""


@dataclass(frozen=True)
class Paper:
    """Who made a network, and how, as RobustBench asks it of a submission.

    ``name`` is the title of the paper, ``authors`` have commas between them, ``reported`` is the
    robust accuracy that the paper tells, in percent; ``additional_data`` says whether it was
    trained on more than the data set's own images, None where that is not known.

    Raises:
        BadValueError: ``link`` is no address of a page, ``reported`` no number, or there is no
            forward pass.
    """

    link: str = ""
    name: str = ""
    authors: str = ""
    venue: str = ""
    architecture: str = ""
    additional_data: bool | None = None
    number_forward_passes: int = 1
    reported: str = ""

    def __post_init__(self) -> None:
        if self.link and not _LINK.fullmatch(self.link):
            raise BadValueError(f"link must be an address such as 'https://...', got {self.link!r}")
        if self.reported and not re.fullmatch(r"\d{1,3}(\.\d+)?", self.reported):
            raise BadValueError(f"reported must be in percent like '58.4', got {self.reported!r}")
        if self.number_forward_passes < 1:
            raise BadValueError(
                f"number_forward_passes must be from 1 up, got {self.number_forward_passes}"
            )


@dataclass(frozen=True)
class About:
    """Who evaluated (``relationship`` to whom made the networks), and papers by a model's name."""

    organization: str = "unknown"
    relationship: Literal["first_party", "third_party", "collaborative", "other"] = "other"
    models: dict[str, Paper] = field(default_factory=dict)

    def paper(self, model: str) -> Paper:
        """Return what is known of a model; nothing where nothing was said."""
        return self.models.get(model, Paper())


def read_about(path: Path | None, models: Iterable[str]) -> About:
    """Return what a TOML file tells of some of these models; nothing where there is no file.

    Raises:
        BadValueError: It cannot be read, or a field of it is wrong.
        UnknownNameError: A field that there is not, or a model that has no record.
    """
    if path is None:
        return About()
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadValueError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise BadValueError(f"{path} is no TOML: {describe(error)}") from error
    about = from_table(About, table, path.name)
    known = list(dict.fromkeys(models))
    if stray := next((name for name in about.models if name not in known), None):
        raise unknown(stray, known, f"model in {shown(path.name)}")
    return about
