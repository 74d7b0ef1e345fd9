"""One request of ``clbench eval`` passes the files that CONTRIBUTING lists, and no hidden one."""

import re
import sys
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest

import clbench

PACKAGE = Path(clbench.__file__).parent
CONTRIBUTING = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text()

MOST = 12

BELOW = ("schema", "runtime", "interop")
"""What files mean, what runs networks, foreign packages: called from everywhere, call nothing."""

ROWS = (
    "data/readers/",
    "models/sources/",
    "models/backbones/",
    "attacks/backends/",
    "attacks/native/",
    "attacks/norms.py",
    "probes/clean_adversarial.py",
    "evaluation/perturb.py",
)
"""What tables name: one reader, source, backend, norm and probe are entered and left; and what
makes the images that probes look at."""

VALUES = (
    "data/checks.py",
    "data/image_set.py",
    "data/stored.py",
    "models/interface.py",
    "models/validate.py",
    "models/fast_passes.py",
    "attacks/interface.py",
    "evaluation/attacked_model.py",
    "evaluation/tile_network.py",
    "evaluation/pool_run.py",
)
"""Types that are handed on, with their methods, and what is asked of them."""


WORDS = ("attacks/grammar.py",)
"""What is typed: read at once, before anything is loaded, and again where it is planned."""


AFTER = {
    *("leaderboard/table.py", "leaderboard/outcomes.py", "leaderboard/bands.py"),
    *("evaluation/evidence.py", "analysis/pairs.py"),
}
"""The table, and its rank bands, which come from evidence: after the record."""


def listed():
    section = CONTRIBUTING.partition("## Follow a request")[2].partition("\n## ")[0]
    return re.findall(r"^\d+\. `clbench/([a-z_/]+\.py)`", section, flags=re.MULTILINE)


def room(file):
    return file.partition("/")[0].removesuffix(".py")


@pytest.fixture(scope="module")
def walk(tmp_path_factory):
    """The calls between files of clbench during one request, and the order of the files."""
    from clbench.cli.eval import evaluate_model

    def evaluate():
        out = tmp_path_factory.mktemp("results")
        evaluate_model(["simclr_at"], attack="apgd-ce,n_iter=2", n_examples=8, out=out, quiet=True)

    @cache
    def in_package(name):
        path = Path(name)
        return path.relative_to(PACKAGE).as_posix() if path.is_relative_to(PACKAGE) else None

    def file_of(frame):
        return in_package(frame.f_code.co_filename)

    calls, order = defaultdict(set), {}

    def note(frame, event, argument):
        file = file_of(frame)
        if event != "call" or file is None or frame.f_code.co_name == "<module>":
            return
        order.setdefault(file)
        caller = frame.f_back
        while caller is not None and file_of(caller) is None:
            caller = caller.f_back
        if caller is not None and file_of(caller) != file:
            calls[file_of(caller)].add(file)

    evaluate()  # imports are no part of it
    before = sys.getprofile()
    sys.setprofile(note)
    try:
        evaluate()
    finally:
        sys.setprofile(before)
    return calls, list(order)


def test_the_main_line_is_listed_and_short():
    assert len(listed()) <= MOST
    assert all((PACKAGE / file).is_file() for file in listed())


def test_every_listed_file_is_passed(walk):
    _, order = walk
    assert set(listed()) <= set(order)


def test_rooms_are_entered_only_by_the_listed_files_and_through_them(walk):
    calls, _ = walk
    line = {*listed(), *AFTER}
    hidden = [
        (caller, called)
        for caller, files in calls.items()
        for called in files
        if room(called) not in (room(caller), *BELOW, "cli")  # hooks go back to the command line
        and room(caller) not in BELOW
        and not called.startswith((*ROWS, *VALUES, *WORDS))
        and not {caller, called} <= line
    ]
    assert hidden == []
