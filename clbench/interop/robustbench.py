"""RobustBench as PyPI gives it, made to work; the only file that imports it.

Importing this module imports robustbench, so that ``import robustbench`` works from then on; that
takes seconds, so import it where it is needed. It raises InstallationError where robustbench
cannot work, with the command that mends it.
"""

import contextlib
import importlib
import math
import pickle
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

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

_OLD_CALLS = ("The parameter 'pretrained' is deprecated", "Arguments other than a weight enum")
"""What torchvision warns of when robustbench builds a network, likewise."""


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


class Entry(NamedTuple):
    """A row of RobustBench's model zoo.

    ``preprocessing`` is what is done to a picture before it is attacked, as RobustBench names it;
    "" where nothing is.
    """

    name: str
    dataset: str
    threat_model: str
    preprocessing: str


def entries() -> list[Entry]:
    """Return every row of the model zoo."""
    by_dataset = _by_value(_ROBUSTBENCH.model_zoo.model_dicts)
    return [
        Entry(name, dataset, threat_model, _preprocessing(name, dataset, threat_model, row))
        for dataset, by_threat_model in by_dataset.items()
        for threat_model, rows in _by_value(by_threat_model).items()
        for name, row in rows.items()
    ]


def entry(name: str, dataset: str, threat_model: str) -> Entry | None:
    """Return a row of the model zoo; None where there is none, though timm may have the model."""
    found = (one for one in entries() if one[:3] == (name, dataset, threat_model))
    return next(found, None)


def _preprocessing(name: str, dataset: str, threat_model: str, row: Mapping[str, Any]) -> str:
    timm = _ROBUSTBENCH.utils.timm
    registered = f"{name.lower().replace('-', '_')}_{dataset}_{threat_model.lower()}"
    if dataset != "imagenet" or not timm.is_model(registered):
        return row.get("preprocessing") or ""
    cfg = timm.get_pretrained_cfg(registered)  # robustbench prepares them as timm says
    how = "" if cfg.interpolation == "bilinear" else cfg.interpolation.capitalize()
    size = cfg.input_size[1]
    return f"{how}Res{math.floor(size / cfg.crop_pct)}Crop{size}"


def load_model(
    name: str, dataset: str, threat_model: str, model_dir: Path, read: Callable[[Path], object]
) -> nn.Module:
    """Return a model of RobustBench's zoo, in eval mode on the CPU.

    A model that is registered in timm as ``<name>_<dataset>_<threat model>``, in lower case, comes
    first. Weights are read from ``<model_dir>/<dataset>/<threat model>/<name>.pt``; where that is
    missing, robustbench fetches it. What it prints goes to stderr.

    Args:
        name: As in the table of the data set and threat model.
        dataset: A data set of RobustBench's.
        threat_model: One of it.
        model_dir: Where weights are.
        read: Reads a file of weights. RobustBench's own reader either runs what is in it, or, with
            the torch of today, refuses most files that hold more than tensors.

    Raises:
        UnknownNameError: RobustBench has no such data set, threat model or model.
        WeightsError: The weights cannot be fetched, or are not those of this model.
    """
    rows = _rows(dataset, threat_model)
    folder = model_dir / dataset / threat_model.removesuffix("_3d")
    file = _place(rows.get(name, {}).get("gdrive_id"), folder / f"{name}.pt")
    fetching = (OSError, _ROBUSTBENCH.utils.gdown.exceptions.FileURLRetrievalError)
    try:
        with contextlib.redirect_stdout(sys.stderr), _as_it_expects(read):
            network: nn.Module = _ROBUSTBENCH.load_model(
                name, model_dir=model_dir, dataset=dataset, threat_model=threat_model
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
            raise _unknown(name, rows, f"{dataset} {threat_model}") from error
        raise WeightsError(
            f"weights of RobustBench's {name!r} cannot be used: {_brief(error)}; "
            f"move {file} away and put the right file there"
        ) from error
    return network


@contextlib.contextmanager
def _as_it_expects(read: Callable[[Path], object]) -> Iterator[None]:
    """Let robustbench read files of weights by ``read``, and build without a GPU, for a while.

    Some of its networks put tensors on one when they are built.
    """
    utils, torch = _ROBUSTBENCH.utils, _ROBUSTBENCH.utils.torch
    answering = ModuleType("torch")
    vars(answering).update(vars(torch) | {"load": lambda file, **_: read(Path(file))})
    cuda = torch.Tensor.cuda
    try:
        utils.torch = answering
        if not torch.cuda.is_available():
            torch.Tensor.cuda = lambda tensor, *_, **__: tensor
        with warnings.catch_warnings():
            for message in _OLD_CALLS:
                warnings.filterwarnings("ignore", message=message)
            yield
    finally:
        utils.torch, torch.Tensor.cuda = torch, cuda


def _rows(dataset: str, threat_model: str) -> Mapping[str, Any]:
    """Return RobustBench's models for a data set and threat model, by name."""
    by_dataset = _by_value(_ROBUSTBENCH.model_zoo.model_dicts)
    if dataset not in by_dataset:
        raise UnknownNameError(
            f"RobustBench has no models of {dataset!r}, but of {', '.join(by_dataset)}; "
            "give --protocol cifar10-linf, or another of these data sets"
        )
    tables = _by_value(by_dataset[dataset])
    what = f"RobustBench threat model of {dataset}"
    models: Mapping[str, Any] = look_up(tables, threat_model.removesuffix("_3d"), what)
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
