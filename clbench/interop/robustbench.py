"""RobustBench as PyPI gives it, made to work; the only file that imports it.

Importing this module imports robustbench, so that ``import robustbench`` works from then on; that
takes seconds, so import it where it is needed. It raises InstallationError where robustbench
cannot work, with the command that mends it.
"""

import contextlib
import importlib
import pickle
import sys
import warnings
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from clbench.interop.import_shims import pkg_resources_answered, provide_autoattack
from clbench.interop.installed import ROBUSTBENCH, install_line, require_robustbench, requirement_of
from clbench.schema.errors import ClbenchError, InstallationError, UnknownNameError, WeightsError
from clbench.schema.names import closest, look_up

_KNOWN_WARNINGS = (
    "pkg_resources is deprecated",
    "Importing from timm",
    "Overwriting .* in registry",
)
"""What robustbench's imports warn of, which its users cannot mend."""


def _import_robustbench() -> ModuleType:
    require_robustbench()
    provide_autoattack()
    with pkg_resources_answered(), warnings.catch_warnings():
        for message in _KNOWN_WARNINGS:
            warnings.filterwarnings("ignore", message=message)
        try:
            return importlib.import_module(ROBUSTBENCH)
        except ImportError as error:
            line = install_line(requirement_of(ROBUSTBENCH))
            raise InstallationError(
                f"robustbench cannot be imported: {error}; run: {line}"
            ) from error


_ROBUSTBENCH = _import_robustbench()
benchmark = _ROBUSTBENCH.benchmark
"""RobustBench's own evaluation; with ``aa_state_path`` it can be stopped and continued."""


_NOT_ITS_WEIGHTS = (
    pickle.UnpicklingError, EOFError, RuntimeError, LookupError, ValueError, TypeError,
    AttributeError,
)  # fmt: skip
"""What comes of a file that is cut off, a web page, or the weights of another network."""


def load_model(name: str, dataset: str, norm: str, model_dir: Path) -> nn.Module:
    """Return a model of RobustBench's zoo, in eval mode on the CPU.

    A model that is registered in timm as ``<name>_<dataset>_<norm>``, in lower case, comes first.
    Weights are read from ``<model_dir>/<dataset>/<norm>/<name>.pt``; where that is missing,
    robustbench fetches it. What it prints goes to stderr.

    Raises:
        UnknownNameError: RobustBench has no such data set, threat model or model.
        WeightsError: The weights cannot be fetched, or are not those of this model.
    """
    rows = _rows(dataset, norm)
    file = _place(rows.get(name, {}).get("gdrive_id"), model_dir / dataset / norm / f"{name}.pt")
    fetching = (OSError, _ROBUSTBENCH.utils.gdown.exceptions.FileURLRetrievalError)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            network: nn.Module = _ROBUSTBENCH.load_model(
                name, model_dir=model_dir, dataset=dataset, threat_model=norm
            )
    except ClbenchError:
        raise
    except fetching as error:
        raise WeightsError(
            f"weights of RobustBench's {name!r} cannot be fetched: {_brief(error)}; "
            f"fetch them where there is a network and put them at {file}"
        ) from error
    except _NOT_ITS_WEIGHTS as error:
        if isinstance(error, KeyError) and name not in rows:
            raise _unknown(name, rows, f"{dataset} {norm}") from error
        raise WeightsError(
            f"weights of RobustBench's {name!r} cannot be used: {_brief(error)}; "
            f"move {file} away and put the right file there"
        ) from error
    return network


def _rows(dataset: str, norm: str) -> Mapping[str, Any]:
    """Return RobustBench's models for a data set and threat model, by name."""
    by_dataset = _by_value(_ROBUSTBENCH.model_zoo.model_dicts)
    if dataset not in by_dataset:
        raise UnknownNameError(
            f"RobustBench has no models of {dataset!r}, but of {', '.join(by_dataset)}; "
            "give --protocol cifar10-linf, or another of these data sets"
        )
    by_norm = _by_value(by_dataset[dataset])
    models: Mapping[str, Any] = look_up(by_norm, norm, f"RobustBench threat model of {dataset}")
    return models


def _by_value(table: Mapping[Enum, Any]) -> dict[str, Any]:
    return {key.value: row for key, row in table.items()}


def _place(source: str | list[str] | None, file: Path) -> str:
    """Return where the weights belong; an ensemble has a file for each member."""
    if isinstance(source, list):
        return f"{file}_m0.pt to {file}_m{len(source) - 1}.pt"
    return str(file)


def _brief(error: BaseException) -> str:
    """Return an error as part of a line: requests' and gdown's own words fill many."""
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def _unknown(name: str, rows: Mapping[str, Any], where: str) -> UnknownNameError:
    near = closest(name, rows)
    hint = f"did you mean {near!r}?" if near else f"there are {len(rows)}, such as {min(rows)!r}"
    return UnknownNameError(f"unknown RobustBench model {name!r} for {where}; {hint}")
