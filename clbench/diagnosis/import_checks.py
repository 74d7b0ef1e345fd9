"""What has to be tried to be known, tried in a process of its own, which may crash."""

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from typing import NamedTuple

from clbench.schema.errors import InstallationError

_PATIENCE_S = 60
_MARK = "clbench-doctor:"
_OURS = f"{InstallationError.__module__}."
_CHILD = f"""
import json, sys
sys.path[:] = json.loads(sys.argv[1])
from {__name__} import report
report(sys.argv[2:])
"""


class Result(NamedTuple):
    """How a step ended: with what its function returned, or with the last line of the error."""

    ok: bool
    said: str


def try_all(steps: Sequence[str]) -> dict[str, Result]:
    """Return the result of each step, in order.

    A step is a module to import, or ``module:function`` to call as well. All of them share one
    process, with the path of this one; after a step that ends it, the rest get another.
    """
    results: dict[str, Result] = {}
    while left := [step for step in steps if step not in results]:
        done, error = _run(left)
        results |= {step: Result(ok=True, said=said) for step, said in done.items()}
        if len(done) < len(left):
            results[left[len(done)]] = Result(ok=False, said=error)
    return results


def report(steps: Sequence[str]) -> None:
    """Run each step and say so on stdout; this is what the other process does."""
    for step in steps:
        sys.stdout.write(f"\n{_MARK}{json.dumps([step, _take(step)])}\n")
        sys.stdout.flush()


def _run(steps: Sequence[str]) -> tuple[dict[str, str], str]:
    """Return what each step said that ended well, and the error of the first that did not."""
    command = [sys.executable, "-c", _CHILD, json.dumps(sys.path), *steps]
    quiet = os.environ | {"PYTHONWARNINGS": "ignore"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=quiet
    ) as child:
        try:
            out, err = child.communicate(timeout=_PATIENCE_S)
            error = _last_line(err) or f"python ended with status {child.returncode}"
        except subprocess.TimeoutExpired:
            child.kill()
            out, _ = child.communicate()
            error = f"not done after {_PATIENCE_S} s"
    lines = (line for line in out.splitlines() if line.startswith(_MARK))
    return dict(json.loads(line.removeprefix(_MARK)) for line in lines), error


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1].strip().removeprefix(_OURS) if lines else ""


def _take(step: str) -> str:
    module, _, function = step.partition(":")
    loaded = importlib.import_module(module)
    return str(getattr(loaded, function)()) if function else ""
