"""Names of models, files and folders with anything in them, through every command."""

import json
from xml.etree import ElementTree

import pytest

NAMES = (
    "$\\frac$",
    "[bold]a[/x]",
    "[/x]|<b>&amp;",
    "=1+1",
    ":smile:",
    "{0} {left} %s %%",
    "\x1b]0;title\x07red",
    "a\nb",
    "\u202egnp",
    "網路 é",
    "\udcff",
)


@pytest.fixture
def named(tmp_path, monkeypatch):
    """Return a function that makes a network whose file bears a name, and gives its factory."""
    monkeypatch.chdir(tmp_path)

    def make(name):
        file = tmp_path / f"{name.replace('/', '_')}.py"
        file.write_text(
            "from torch import nn\n\ndef make():\n"
            "    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))\n"
        )
        return f"{file.name}:make"

    return make


@pytest.fixture(autouse=True)
def _unheard(request):
    """Keep what is logged out of the reports of tests, which only hold text that is UTF-8."""
    handler = request.config.pluginmanager.get_plugin("logging-plugin").report_handler
    handler.addFilter(_nothing)
    yield
    handler.removeFilter(_nothing)


def _nothing(_record):
    return False


def is_clean(text):
    return text.replace("\n", "").isprintable()


FAST = ("--n-examples", "4", "--attack", "pgd,steps=1", "--no-probe")


@pytest.mark.parametrize("name", NAMES)
def test_a_model_of_any_name_is_evaluated_shown_and_ranked(clbench, named, tmp_path, name):
    model, out = named(name), f"r{name.replace('/', '_')}"
    done = clbench("eval", "--model", model, *FAST, "--out", out, "--events", f"{out}.jsonl")
    assert done.status == 0, done.err
    assert is_clean(done.out)
    assert is_clean(done.err)
    (path,) = (tmp_path / out).rglob("records/**/*.json")
    assert json.loads(path.read_text())["model"]["name"] == model
    assert len((tmp_path / out / "leaderboard.csv").read_text(encoding="utf-8").splitlines()) == 2
    commands = (
        ("show", path),
        ("leaderboard", "show", "--out", out),
        ("leaderboard", "check", "--out", out),
        ("leaderboard", "show", "--out", out, "--format", "md"),
        ("leaderboard", "show", "--out", out, "--format", "latex"),
        ("clean", out),
        ("eval", "--model", model, "--model", "simclr_at", *FAST, "--out", out),
    )
    for command in commands:
        again = clbench(*command)
        assert again.status == 0, again.err
        assert is_clean(again.out)
        assert is_clean(again.err)
    for command in (("show", path), ("leaderboard", "show", "--out", out)):
        assert json.loads(clbench(*command, "--json").out)


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_there_is_not_is_shown_as_it_is(clbench, name):
    for command in (
        ("eval", "--model", name),
        ("eval", "--model", "simclr_at", "--attack", name),
        ("eval", "--model", "simclr_at", "--protocol", name),
        ("eval", "--model", "simclr_at", "--data", name, "--eps", "1/6"),
        ("show", name),
        ("leaderboard", "check", "--out", name),
        ("leaderboard", "show", "--columns", name),
        ("probe", "--model", name),
        (name,),
    ):
        done = clbench(*command)
        assert done.status == 2
        assert done.out == ""
        assert is_clean(done.err)
        assert done.err.count("\n") == 1
        assert done.err.startswith("clbench: ")


@pytest.mark.parametrize("name", NAMES[:4])
def test_a_model_of_any_name_is_compared_and_drawn(clbench, named, tmp_path, name):
    given = f"{name.replace('=', '')}=simclr_at.digits"
    small = ("--n-examples", "16", "--attack-steps", "1", "--comparison", "clean-clean")
    done = clbench("probe", "--model", given, "--layer", "logits", "--layer", "stem", *small)
    assert done.status == 0, done.err
    assert is_clean(done.out)
    assert is_clean(done.err)
    for figure in (tmp_path / "probe").rglob("*.svg"):
        ElementTree.parse(figure)
