"""Robustness benchmark of contrastive, supervised-contrastive and supervised image models.

The functions are those of the command line, for Python: each is loaded on first use, so that
importing this package loads nothing else.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from clbench.schema.version import __version__ as __version__

if TYPE_CHECKING:
    from clbench.analysis.run import compare_models as probe
    from clbench.api import add_external as add_external
    from clbench.api import build_leaderboard as build_leaderboard
    from clbench.api import bundle as bundle
    from clbench.api import compare as compare
    from clbench.api import diagnose as diagnose
    from clbench.api import evaluate as evaluate
    from clbench.api import evaluate_corruptions as evaluate_corruptions
    from clbench.api import export_leaderboard as export_leaderboard
    from clbench.api import list_layers as list_layers
    from clbench.api import load_data as load_data
    from clbench.api import load_model as load_model
    from clbench.api import merge as merge
    from clbench.api import plan as plan
    from clbench.api import read_records as read_records
    from clbench.api import verify as verify
    from clbench.training.loop import train as train


__all__ = [
    "__version__",
    "add_external",
    "build_leaderboard",
    "bundle",
    "compare",
    "diagnose",
    "evaluate",
    "evaluate_corruptions",
    "export_leaderboard",
    "list_layers",
    "load_data",
    "load_model",
    "merge",
    "plan",
    "probe",
    "read_records",
    "train",
    "verify",
]


_ELSEWHERE = {
    "probe": ("clbench.analysis.run", "compare_models"),
    "train": ("clbench.training.loop", "train"),
}
"""Public functions that are not in ``clbench.api``: where, and their names there."""


def __getattr__(name: str) -> Any:  # noqa: ANN401 - any public function
    if name not in __all__:
        raise AttributeError(f"module 'clbench' has no attribute {name!r}")
    module, function = _ELSEWHERE.get(name, ("clbench.api", name))
    found = globals()[name] = getattr(import_module(module), function)
    return found


def __dir__() -> list[str]:
    return __all__
