"""Several models, and several eps, in one ``clbench eval``."""

import json

import pandas as pd
import pytest

from clbench.cli.render.evaluations import rising
from clbench.cli.requests import Request, requests
from clbench.schema.errors import BadValueError
from clbench.schema.estimate import proportion
from clbench.schema.records import ThreatEntry

TINY = ("--n-examples", "4", "--attack", "pgd,steps=1", "--no-probe")


@pytest.fixture
def evaluate(clbench, tmp_path):
    def run(*options):
        return clbench("eval", *options, *TINY, "--out", tmp_path / "results")

    return run


def test_several_models_are_one_table_and_one_row_each(evaluate, tmp_path):
    done = evaluate("--model", "simclr_at", "--model", "supcon_at")
    assert done.status == 0
    rows = [line.split() for line in done.out.splitlines() if "Linf 1/6" in line]
    assert [row[0] for row in rows] == ["simclr_at", "supcon_at"]
    board = pd.read_csv(tmp_path / "results" / "leaderboard.csv")
    assert sorted(board["model"]) == ["simclr_at", "supcon_at"]


@pytest.mark.parametrize("quiet", [(), ("--quiet",)])
def test_machines_get_a_line_for_each(evaluate, quiet):
    done = evaluate("--model", "simclr_at", "--model", "supcon_at", "--json", *quiet)
    assert [json.loads(line)["model"]["name"] for line in done.out.splitlines()] == [
        "simclr_at",
        "supcon_at",
    ]
    assert done.err == ""


def test_one_that_fails_does_not_stop_the_others(evaluate):
    names = ("simclr_at", "nothing_like", "supcon_at")
    done = evaluate(*(part for name in names for part in ("--model", name)), "--json")
    assert done.status == 2
    assert [json.loads(line)["model"]["name"] for line in done.out.splitlines()] == [
        "simclr_at",
        "supcon_at",
    ]
    assert done.err == (
        "clbench: nothing_like: unknown model 'nothing_like'; clbench models lists them\n"
    )


def test_all_names_of_nothing_are_told_before_the_first_model_is_run(evaluate, monkeypatch):
    names = ("simclr_at", "simclr_att", "nowhere.py:make", "simclr_at.cifar10", "timm:resnet1888")
    told_by_then = []
    monkeypatch.setattr("clbench.evaluate", lambda *_, **__: told_by_then.append(told[:]))
    told = []
    monkeypatch.setattr("clbench.cli.eval.say", told.append)
    monkeypatch.setattr("clbench.cli.eval._show", lambda *_, **__: None)
    monkeypatch.setattr("clbench.cli.eval._show_all", lambda *_, **__: None)
    done = evaluate(*(part for name in names for part in ("--model", name)))
    assert done.status == 2
    assert told_by_then == [told]
    assert [line.partition(": ")[0] for line in told] == list(names[1:])


def test_where_all_fail_nothing_is_shown(evaluate):
    done = evaluate("--model", "nothing_like", "--model", "anything_else")
    assert (done.status, done.out, done.err.count("\n")) == (2, "", 2)


def test_several_eps_are_a_curve(evaluate, tmp_path):
    done = evaluate("--model", "simclr_at", "--eps", "1/12", "--eps", "1/6", "--eps", "1/12")
    assert done.status == 0
    assert [line.split()[2] for line in done.out.splitlines() if "Linf" in line] == ["1/12", "1/6"]
    board = pd.read_csv(tmp_path / "results" / "leaderboard.csv")
    assert list(board["rank"]) == [1, 1]


def test_every_model_is_evaluated_at_every_eps(evaluate):
    done = evaluate("--model", "simclr_at", "--model", "supcon_at", "--eps", "0", "--eps", "1/6")
    rows = [line.split() for line in done.out.splitlines() if " Linf " in line]
    assert [(row[0], row[2]) for row in rows] == [
        ("simclr_at", "0"),
        ("simclr_at", "1/6"),
        ("supcon_at", "0"),
        ("supcon_at", "1/6"),
    ]


def test_a_wrong_eps_among_several_stops_them_before_the_first(evaluate, tmp_path):
    done = evaluate("--model", "simclr_at", "--eps", "1/6", "--eps", "7")
    assert done.status == 2
    assert "Linf eps must be at most 1" in done.err
    assert not (tmp_path / "results").exists()


def test_strict_is_the_status_of_the_worst(evaluate, net):
    softmax = net(
        "return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10), "
        "torch.nn.Softmax(dim=1))"
    )
    flagged = ("--model", "simclr_at", "--model", softmax, "--strict")
    assert evaluate(*flagged).status == 3
    assert evaluate(*flagged, "--model", "nothing_like").status == 2


@pytest.mark.parametrize(
    ("models", "weights", "expected"),
    [
        (["a"], [], {"a": None}),
        (["a"], ["w.pt"], {"a": "w.pt"}),
        (["a"], ["a=w.pt"], {"a": "w.pt"}),
        (["a", "b"], ["b=w.pt"], {"a": None, "b": "w.pt"}),
        (["a", "b"], ["b=w.pt", "a=v=1.pt"], {"a": "v=1.pt", "b": "w.pt"}),
        (["mine=net.py:make", "b"], ["mine=w.pt"], {"mine=net.py:make": "w.pt", "b": None}),
        (["a"], ["x=y.pt"], {"a": "x=y.pt"}),
    ],
)
def test_weights_belong_to_the_model_that_they_name(models, weights, expected):
    found = {one.model: one.weights and str(one.weights) for one in requests(models, weights, [])}
    assert found == expected


@pytest.mark.parametrize(
    ("models", "weights", "message"),
    [
        (["a", "b"], ["w.pt"], r"^--weights must read like NAME=FILE .* got 'w.pt'$"),
        (["a", "b"], ["c=w.pt"], "got 'c=w.pt'$"),
        (["a"], ["w.pt", "v.pt"], "^model 'a' has one --weights, got 'v.pt' too$"),
    ],
)
def test_weights_of_no_model_are_refused(models, weights, message):
    with pytest.raises(BadValueError, match=message):
        requests(models, weights, [])


def test_requests_are_in_the_order_of_the_command():
    found = requests(["a", "b", "a"], [], ["1/6", "1/3"])
    assert found == [Request(*one) for one in (("a", None, "1/6"), ("a", None, "1/3"),
                                               ("b", None, "1/6"), ("b", None, "1/3"))]  # fmt: skip


def at(make_record, eps, right, **changes):
    return make_record(right=right, threat_model=ThreatEntry("Linf", eps), **changes)


@pytest.mark.parametrize(
    ("curve", "notes"),
    [
        ([("2/255", 70), ("4/255", 60), ("8/255", 60)], 0),
        ([("8/255", 60), ("2/255", 70)], 0),
        ([("2/255", 70), ("4/255", 71)], 1),
        ([("4/255", 71), ("2/255", 70)], 1),
        ([("2/255", 50), ("4/255", 60), ("8/255", 70)], 3),
    ],
)
def test_a_rising_curve_is_noted(make_record, curve, notes):
    records = [at(make_record, eps, right) for eps, right in curve]
    assert len(list(rising(records))) == notes


def test_only_one_network_on_the_same_images_is_a_curve(make_record):
    first = at(make_record, "2/255", 50)
    others = [
        at(make_record, "4/255", 60, name="b"),
        make_record(right=60, threat_model=ThreatEntry("L2", "1/2")),
        at(make_record, "4/255", 60, n=99),
    ]
    assert [list(rising([first, other])) for other in others] == [[], [], []]


def test_the_note_says_what_holds(make_record):
    (note,) = rising([at(make_record, "2/255", 50), at(make_record, "4/255", 60)])
    assert note == (
        "simclr_at is 60.00 % robust at autoattack in Linf 4/255, but 50.00 % at the smaller eps "
        "2/255: the attack is too weak at 4/255, where at most 50.00 % are robust"
    )
    assert proportion("robust_acc", 60, 100).value == 0.6
