"""``--output`` where commands take a model, and what they say without it."""

import json

import pytest

FAST = ("--attack", "pgd,steps=2", "--no-probe", "--eps", "1/10")
TWO = """
    class Two(Bands):
        def forward(self, x):
            z = super().forward(x)
            return {"features": x.flatten(1)[:, :2], "scores": z, "again": z}
    return Two()
"""


@pytest.fixture
def two(net):
    return net(TWO.replace("\n    ", "\n").strip().replace("\n", "\n    "))


def one_line(done):
    assert done.status == 2
    assert done.out == ""
    assert "Traceback" not in done.err
    return done.err


@pytest.mark.parametrize("command", ["eval", "plan", "probe", "layers"])
def test_without_it_there_is_one_line_that_lists_the_entries(clbench, two, images, command):
    model = (two,) if command == "layers" else ("--model", two)
    own = {"eval": FAST, "plan": FAST[:2] + FAST[3:], "probe": ("--eps", "1/10")}
    said = one_line(clbench(command, *model, "--data", images(), *own.get(command, ())))
    wide = command != "layers"
    assert f"scores [{12 if wide else 2}, 4], again" in said
    assert "say which they are, such as --output" in said


def test_with_it_a_record_tells_it(clbench, two, images, tmp_path):
    given = ("--model", two, "--data", images(), *FAST, "--out", tmp_path / "out", "--json")
    record = json.loads(clbench("eval", *given, "--output", "scores").out)
    assert record["model"]["output"] == "scores"


def test_plan_layers_probe_and_verify_take_it(clbench, two, images, tmp_path):
    data, named = ("--data", images()), ("--output", "scores")
    assert clbench("plan", "--model", two, *data, *named, *FAST[:2], "--eps", "1/10").status == 0
    shown = clbench("layers", two, *data, *named, "--json")
    assert json.loads(shown.out)[-1]["layer"] == "logits"
    out = tmp_path / "out"
    given = ("--comparison", "clean-clean", "--out", out / "probe", "--quiet")
    assert clbench("probe", "--model", two, *data, *named, *given).status == 0
    clbench("eval", "--model", two, *data, *named, *FAST, "--out", out, "--quiet")
    assert clbench("verify", out, "--model", two, *data, "--level", 2).status == 0
    found = clbench("verify", out, "--model", two, *data, "--level", 2, "--output", "again")
    assert found.status == 2
    assert "model.output" in found.out + found.err


def test_of_several_models_each_has_its_own(clbench, two, net, images, tmp_path):
    models = ("--model", f"one={two}", "--model", f"two={two}")
    given = (*models, "--data", images(), *FAST, "--out", tmp_path / "out", "--json")
    done = clbench("eval", *given, "--output", "one=scores", "--output", "two=again")
    found = [json.loads(line)["model"]["output"] for line in done.out.splitlines()]
    assert found == ["scores", "again"]
    said = one_line(clbench("eval", *given, "--output", "scores"))
    assert "--output must read like NAME=ENTRY where there are several models" in said
