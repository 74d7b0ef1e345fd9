"""Robustness benchmark of contrastive, supervised-contrastive and supervised image models.

The functions are those of the command line, for Python: each is loaded on first use, so that
importing this package loads nothing else.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from clbench.schema.version import __version__ as __version__

if TYPE_CHECKING:
    from clbench.analysis.run import compare_models as probe
    from clbench.api.boards import add_external as add_external
    from clbench.api.boards import build_leaderboard as build_leaderboard
    from clbench.api.boards import export_leaderboard as export_leaderboard
    from clbench.api.boards import read_records as read_records
    from clbench.api.checking import bundle as bundle
    from clbench.api.checking import compare as compare
    from clbench.api.checking import verify as verify
    from clbench.api.corrupted import evaluate_corruptions as evaluate_corruptions
    from clbench.api.evaluating import evaluate as evaluate
    from clbench.api.evaluating import merge as merge
    from clbench.api.importing import import_checkpoint as import_checkpoint
    from clbench.api.loading import diagnose as diagnose
    from clbench.api.loading import list_layers as list_layers
    from clbench.api.loading import load_data as load_data
    from clbench.api.loading import load_model as load_model
    from clbench.api.planning import plan as plan
    from clbench.api.publishing import push_folder as push_folder
    from clbench.training.heads.fit import fit_head as fit_head
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
    "fit_head",
    "import_checkpoint",
    "list_layers",
    "load_data",
    "load_model",
    "merge",
    "plan",
    "probe",
    "push_folder",
    "read_records",
    "train",
    "verify",
]


_FUNCTIONS = {
    "add_external": "clbench.api.boards:add_external",
    "build_leaderboard": "clbench.api.boards:build_leaderboard",
    "bundle": "clbench.api.checking:bundle",
    "compare": "clbench.api.checking:compare",
    "diagnose": "clbench.api.loading:diagnose",
    "evaluate": "clbench.api.evaluating:evaluate",
    "evaluate_corruptions": "clbench.api.corrupted:evaluate_corruptions",
    "export_leaderboard": "clbench.api.boards:export_leaderboard",
    "fit_head": "clbench.training.heads.fit:fit_head",
    "import_checkpoint": "clbench.api.importing:import_checkpoint",
    "list_layers": "clbench.api.loading:list_layers",
    "load_data": "clbench.api.loading:load_data",
    "load_model": "clbench.api.loading:load_model",
    "merge": "clbench.api.evaluating:merge",
    "plan": "clbench.api.planning:plan",
    "probe": "clbench.analysis.run:compare_models",
    "push_folder": "clbench.api.publishing:push_folder",
    "read_records": "clbench.api.boards:read_records",
    "train": "clbench.training.loop:train",
    "verify": "clbench.api.checking:verify",
}
"""Where each public function is."""


def __getattr__(name: str) -> Any:  # noqa: ANN401 - any public function
    if name not in __all__:
        raise AttributeError(f"module 'clbench' has no attribute {name!r}")
    module, _, function = _FUNCTIONS[name].partition(":")
    found = globals()[name] = getattr(import_module(module), function)
    return found


def __dir__() -> list[str]:
    return __all__
