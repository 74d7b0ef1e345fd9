"""The public API: its names, its doctests' promises, and that it is the command line."""

import inspect
import json
import pkgutil
import subprocess
import sys

import pytest

import clbench

COMMANDS = {
    "bundle": ("bundle", {"json"}),
    "compare": ("compare", {"format", "json"}),
    "eval": ("evaluate", {"events", "strict", "json", "quiet", "layer_probes", "resume"}),
    "head": ("fit_head", {"json", "quiet"}),
    "import": ("import_checkpoint", {"json"}),
    "merge": ("merge", {"json"}),
    "plan": ("plan", {"json"}),
    "probe": ("probe", {"json", "quiet", "kind", "tap", "extent", "layer_probes"}),
    "train": ("train", {"tensorboard", "json", "quiet"}),
    "corruptions": ("evaluate_corruptions", {"json"}),
    "leaderboard export": ("export_leaderboard", {"json"}),
    "leaderboard external": ("add_external", {"json"}),
    "verify": ("verify", {"json"}),
}
"""By command: its function, and the options that are about showing, or old spellings."""

CALLED = {
    "probe": {"model": "models", "comparison": "comparisons", "layer": "layers"},
    "head": {"set": "changes"},
    "train": {"set": "changes", "from": "pretrained"},
    "leaderboard export": {"format": "form"},
}
"""Options that a function calls otherwise: several values, or a word of Python."""

HOOKS = {"on_progress", "on_probe", "on_record", "on_start", "on_epoch", "on_cost"}
"""Parameters that no option stands for."""


def test_all_is_sorted_and_is_what_the_package_shows():
    assert clbench.__all__ == sorted(clbench.__all__)
    assert dir(clbench) == clbench.__all__
    assert all(getattr(clbench, name) for name in clbench.__all__)


def test_no_module_bears_the_name_of_a_public_function():
    modules = {module.name for module in pkgutil.iter_modules(clbench.__path__)}
    assert not modules & set(clbench.__all__)


def test_a_name_that_there_is_not_is_refused():
    with pytest.raises(AttributeError, match="module 'clbench' has no attribute 'evaluat'"):
        _ = clbench.evaluat


def python(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout


def test_what_every_run_imports_leaves_scikit_learn_where_it_is():
    code = (
        "import sys, clbench.data.load, clbench.evaluation.session, clbench.leaderboard.table, "
        "clbench.models.load, clbench.probes.table; clbench.data.load.load_test_set('digits'); "
        "print('sklearn' in sys.modules)"
    )
    assert python(code) == "False\n"


def test_importing_the_package_loads_neither_torch_nor_anything_else():
    code = "import sys; before = set(sys.modules); import clbench, json"
    loaded = json.loads(python(f"{code}; print(json.dumps(sorted(set(sys.modules) - before)))"))
    assert [name for name in loaded if name.startswith("clbench")] == [
        "clbench",
        "clbench.schema",
        "clbench.schema.version",
    ]


@pytest.mark.parametrize(
    "module",
    [
        "clbench.api.boards",
        "clbench.api.checking",
        "clbench.api.corrupted",
        "clbench.api.evaluating",
        "clbench.api.loading",
        "clbench.cli",
        "clbench.leaderboard.table",
        "clbench.leaderboard.compare",
        "clbench.leaderboard.bundles.make",
    ],
)
def test_torch_is_loaded_only_where_something_runs(module):
    assert python(f"import sys, {module}; print('torch' in sys.modules)").strip() == "False"


def test_what_files_mean_loads_neither_torch_nor_numpy():
    from clbench import schema

    names = [f"clbench.schema.{module.name}" for module in pkgutil.iter_modules(schema.__path__)]
    code = f"import sys, {', '.join(names)}; print({{'torch', 'numpy'}} & set(sys.modules))"
    assert python(code).strip() == "set()"


def options_of(command):
    import typer

    from clbench.cli import app

    found = typer.main.get_command(app)
    context = typer.Context(found)
    for part in command.split():
        found = found.get_command(context, part)
        context = typer.Context(found, parent=context)
    parameters = found.get_params(context)
    named = [max(one.opts, key=len).lstrip("-").replace("-", "_") for one in parameters]
    return set(named) - {"help"}


@pytest.mark.parametrize("command", COMMANDS)
def test_the_options_of_a_command_are_the_parameters_of_its_function(command):
    function, own = COMMANDS[command]
    called = CALLED.get(command, {})
    options = {called.get(name, name) for name in options_of(command) - own}
    parameters = inspect.signature(getattr(clbench, function)).parameters
    assert options == set(parameters) - HOOKS


@pytest.mark.parametrize("name", [name for name in clbench.__all__ if name != "__version__"])
def test_every_public_function_is_typed_and_tells_what_it_raises(name):
    function = getattr(clbench, name)
    signature = inspect.signature(function)
    assert signature.return_annotation is not inspect.Signature.empty
    assert all(
        one.annotation is not inspect.Parameter.empty for one in signature.parameters.values()
    )
    text = inspect.getdoc(function)
    assert "Raises:" in text or name == "diagnose"
    assert all(f"{one}:" in text for one in signature.parameters if one != "out"), name
