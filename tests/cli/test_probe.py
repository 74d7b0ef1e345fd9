"""``clbench probe`` and ``clbench probe findings`` as a shell would run them."""

import json

import numpy as np
import pandas as pd
import pytest

from clbench.analysis.comparisons import COMPARISONS
from clbench.cli.options import names_of
from clbench.cli.probe import probe


@pytest.fixture
def nets(tmp_path):
    """Two small networks in a file, by the names that ``--model`` takes."""
    file = tmp_path / "nets.py"
    file.write_text("""
import torch
from torch import nn

def _make(seed, n_classes=4):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(108, n_classes))

def make_a():
    return _make(1)

def make_b():
    return _make(2)

def make_more_classes():
    return _make(3, 7)
""")
    return lambda which: f"{file}:make_{which}"


def make_images(n):
    x = np.random.default_rng(n).random((n, 8, 8, 1), dtype=np.float32)
    return {"x": x, "y": np.arange(n) % 4}


@pytest.fixture
def compare(clbench, nets, images, tmp_path):
    """Return a function that compares the two networks; options may be added."""
    data = images(**make_images(24))

    def call(*options, models=("a", "b")):
        chosen = [part for which in models for part in ("--model", nets(which))]
        given = ("--data", data, "--eps", "0.1", "--attack-steps", "1", "--out", tmp_path / "out")
        return clbench("probe", *chosen, *given, *options)

    return call


def test_two_networks_of_a_user_are_compared(compare, tmp_path):
    done = compare()
    assert done.status == 0, done.err
    assert "adv x clean" in done.out
    assert "15 matrices and 8 figures of 24 images" in done.out
    assert "adv x clean is above chance within classes" in done.out
    assert "(1000 orders)" in done.out
    assert "attacking" in done.err
    with np.load(tmp_path / "out" / "matrices.npz", allow_pickle=False) as arrays:
        assert len(arrays["matrices"]) == 15
    assert (tmp_path / "out" / "figures" / "depth-curves.svg").exists()


def test_what_is_no_more_alike_than_by_chance_is_named(compare):
    """Three orders cannot be rare: chance alone reaches as much in one case of four."""
    done = compare("--permutations", "3", "--no-figures")
    assert "within classes but for nets.py:make_a (" in done.out
    assert "(3 orders)" in done.out
    none = compare("--permutations", "0", "--no-figures", "--restart")
    assert "chance" not in none.out


def test_machines_get_the_description(compare, tmp_path):
    done = compare("--json", "--no-figures", "--comparison", "cross-clean")
    described = json.loads(done.out)
    assert described["comparisons"] == ["cross-clean"]
    assert list(described["files"]) == ["matrices.npz", "summary.csv", "similarities.csv"]
    assert done.err == ""


def test_a_quiet_run_prints_nothing(compare):
    assert compare("--quiet", "--no-figures", "--comparison", "clean-clean") == (0, "", "")


def test_modules_are_layers_by_name_and_by_pattern(compare, tmp_path):
    done = compare(
        "--layer", "0", "--layer", "[1-2]", "--comparison", "clean-clean", "--no-figures"
    )
    assert done.status == 0, done.err
    with np.load(tmp_path / "out" / "matrices.npz") as arrays:
        (layers,) = {tuple(arrays[key].tolist()) for key in arrays.files if key.endswith("/layers")}
    assert layers == ("0", "1", "2")


def test_the_older_spellings_of_options_still_work_and_are_not_shown(
    compare, clbench, images, tmp_path
):
    train = images("train.npz", **make_images(60))
    done = compare(
        *("--kind", "clean-clean", "--tap", "0", "--extent", "spatial", "--layer-probes"),
        *("--train-data", train, "--no-figures", "--json"),
    )
    described = json.loads(done.out)
    assert described["comparisons"] == ["clean-clean"]
    assert described["layers"] == ["0"]
    assert described["pooling"] == "spatial"
    assert (tmp_path / "out" / "probe_accuracy.csv").exists()
    shown = clbench("probe", "--help").out.split()
    assert not {"--kind", "--tap", "--extent", "--layer-probes"} & set(shown)


def test_a_model_can_be_given_a_name(compare, nets):
    done = compare(
        *("--model", f"mine={nets('a')}", "--comparison", "clean-clean", "--json", "--no-figures"),
        models=("b",),
    )
    assert [model["name"] for model in json.loads(done.out)["models"]] == ["nets.py:make_b", "mine"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--comparison", "clean-clea"), "comparison 'clean-clea'; did you mean 'clean-clean'?"),
        (
            ("--comparison", "cross-scheme"),
            "comparison 'cross-scheme' is of two schemes in one scenario",
        ),
        (("--layer", "4"), "unknown layer '4'"),
        (("--common", "c"), "unknown model 'c'"),
        (("--model", "simclr_att"), "unknown model 'simclr_att'; did you mean 'simclr_at'?"),
        (("--estimator", "unbiased"), "unknown estimator 'unbiased'; did you mean"),
        (
            ("--attack-steps", "0"),
            "--attack-steps must be a whole number from 1 to 21474836",
        ),
        (("--eps", "8/255px"), "eps must read like '8/255' or '0.5', got '8/255px'"),
        (("--n-examples", "99"), "from 1 to 24"),
        (("--data", "nowhere.npz"), "nowhere.npz"),
    ],
)
def test_bad_options_are_met_with_one_line(compare, tmp_path, options, message):
    done = compare(*options)
    assert done.status == 2
    assert message in done.err.splitlines()[-1]
    assert done.err.splitlines()[-1].startswith("clbench: ")
    assert done.out == ""
    assert not (tmp_path / "out").exists()


def test_models_of_different_data_are_refused_with_one_line(compare):
    done = compare("--quiet", models=("a", "more_classes"))
    assert done.status == 2
    assert done.err.count("\n") == 1
    assert "clbench: models must be of the same data, got classes: 4 of " in done.err


def test_without_a_model_the_option_is_named(clbench):
    done = clbench("probe")
    assert done.status == 2
    assert "clbench: give --model at least once, got none" in done.err


def test_a_place_that_is_no_folder_is_named(compare, tmp_path):
    (tmp_path / "out").write_text("")
    done = compare("--quiet")
    assert done.status == 2
    assert "choose another folder with --out" in done.err


def test_an_interrupted_run_says_that_nothing_was_written(compare, monkeypatch, tmp_path):
    def interrupted(*_models, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr("clbench.probe", interrupted)
    done = compare("--quiet")
    assert done.status == 130
    assert "interrupted" in done.err


def test_linear_probes_of_own_images_are_a_table_and_curves(compare, images, tmp_path):
    train = images("train.npz", **make_images(60))
    done = compare(
        "--linear-probes", "--train-data", train, "--layer", "all", "--comparison", "clean-clean"
    )
    assert done.status == 0, done.err
    table = pd.read_csv(tmp_path / "out" / "probe_accuracy.csv")
    assert list(table["tap"].unique()) == ["0", "1", "2", "3", "logits"]
    assert set(table["score"]) == {"clean", "adv", "adaptive"}
    assert table["value"].between(0, 1).all()
    assert (tmp_path / "out" / "figures" / "probe-accuracy.png").exists()
    described = json.loads((tmp_path / "out" / "probe.json").read_text())
    assert (described["training"]["name"], described["pooling"]) == ("images.npz-train", "pooled")


def test_linear_probes_without_images_to_fit_on_say_what_to_give(compare, tmp_path):
    done = compare("--linear-probes")
    assert done.status == 2
    assert "--linear-probes needs training images of images.npz, got none" in done.err
    assert "give --train-data FILE" in done.err
    assert not (tmp_path / "out").exists()


def test_the_help_names_every_comparison(clbench):
    text = " ".join(clbench("probe", "--help").out.split()).replace("- ", "-")
    assert all(comparison in text for comparison in COMPARISONS)
    complete = names_of("clbench.analysis.comparisons:COMPARISONS")
    assert complete("cross-s") == ["cross-scheme", "cross-scenario"]
    assert probe.registered_commands


@pytest.fixture
def evaluated(clbench, nets, images, tmp_path):
    """Records of both networks, in the folder of results."""
    for which in ("a", "b"):
        done = clbench(
            *("eval", "--model", nets(which), "--data", images(), "--eps", "0.1"),
            *("--attack", "pgd,steps=1", "--out", tmp_path / "results", "--quiet"),
        )
        assert done.status == 0, done.err
    return tmp_path / "results"


def test_findings_of_models_from_elsewhere_are_not_testable(clbench, evaluated, tmp_path):
    done = clbench("probe", "findings", "--records", evaluated, "--out", tmp_path / "findings")
    assert done.status == 0, done.err
    lines = [line for line in done.out.splitlines() if "not testable" in line]
    assert len(lines) == 9
    text = " ".join(done.out.split())
    assert text.count("give --probe FOLDER of clbench probe with these models, or --compare)") == 7
    assert text.count("run clbench eval on more models, with the same images and attack)") == 2
    assert (tmp_path / "findings" / "findings.md").exists()


def test_findings_of_a_comparison_are_shown_and_written(
    clbench, compare, evaluated, nets, tmp_path
):
    assert compare("--no-figures", "--quiet").status == 0
    eps = [
        part
        for which, at in (("a", "0"), ("b", "8/255"))
        for part in ("--trained-at", f"nets.py:make_{which}={at}")
    ]
    done = clbench(
        *("probe", "findings", "--records", evaluated, "--probe", tmp_path / "out"),
        *("--out", tmp_path / "findings", "--json", *eps),
    )
    rows = {row["claim"]: row for row in json.loads(done.out)["findings"]}
    assert rows["growth-with-eps"]["effect"] is not None
    assert "8/255" in rows["growth-with-eps"]["note"]
    assert clbench(
        *("probe", "findings", "--records", evaluated, "--out", tmp_path / "findings", "--quiet")
    ) == (0, "", "")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--trained-at", "simclr_at"), "--trained-at must read like simclr_at=8/255, got 'simc"),
        (("--trained-at", "simclr_at=x"), "eps must read like '8/255' or '0.5', got 'x'"),
        (("--probe", "nowhere"), "nowhere/probe.json cannot be read"),
        (("--records", "nowhere"), "no records under nowhere"),
        (("--protocol", "cifar10-linf"), "no records of cifar10 under"),
        (("--compare",), "no records of digits under"),
        (("--protocol", "cifar10-linff"), "did you mean 'cifar10-linf'"),
    ],
)
def test_bad_options_of_findings_are_met_with_one_line(
    clbench, evaluated, tmp_path, options, message
):
    out = tmp_path / "findings"
    done = clbench("probe", "findings", "--records", evaluated, "--out", out, *options)
    assert done.status == 2
    assert message in done.err
    assert done.err.count("\n") == 1
    assert not out.exists()


COSINE = """
import torch
from clbench.probes.similarity.measures import SimilarityMeasure

def reduce(features):
    flat = features.flatten(1).double()
    return torch.nn.functional.normalize(flat @ flat.T, dim=1)

cosine = SimilarityMeasure(
    name="cosine",
    label="cosine",
    meaning="mean cosine of rows of Gram matrices",
    value_range=(-1.0, 1.0),
    invariant_to=frozenset({"permutation", "orthogonal"}),
    reduce=reduce,
    score=lambda one, other: (one * other).sum(dim=1).mean(),
    permute=lambda one, index: one[index][:, index],
    accumulates=False,
)
"""


def test_a_measure_of_ones_own_is_named_by_file_and_object(compare, tmp_path):
    (tmp_path / "mine.py").write_text(COSINE)
    name = f"{tmp_path / 'mine.py'}:cosine"
    done = compare("--measure", name, "--no-figures", "--comparison", "clean-clean")
    assert done.status == 0, done.err
    done = compare("--measure", f"{tmp_path / 'mine.py'}:reduce")
    assert done.status == 2
    assert "must be a SimilarityMeasure, got function" in done.err


@pytest.mark.parametrize("comparison", ["clean-clean", "cross-clean"])
def test_no_eps_is_asked_for_where_nothing_is_attacked(clbench, nets, images, tmp_path, comparison):
    data, two = images(**make_images(24)), ("--model", nets("a"), "--model", nets("b"))
    options = ("--data", data, "--no-figures", "--out", tmp_path / "out")
    assert clbench("probe", *two, *options, "--comparison", comparison).status == 0
    for attacked in (("--comparison", "adversarial-clean"), (), ("--linear-probes",)):
        refused = clbench("probe", *two, *options, *attacked)
        assert refused.status == 2
        assert "has no threat model; give an eps" in refused.err


def test_layers_of_two_networks_are_named_apart(compare, nets, tmp_path):
    given = ("--layer", f"{nets('a')}:0", "--layer", f"{nets('b')}:1", "--layer", "logits")
    done = compare(*given, "--comparison", "cross-clean", "--no-figures", "--json")
    assert done.status == 0
    with np.load(tmp_path / "out" / "matrices.npz") as file:
        found = {name: file[name].tolist() for name in file.files if name.endswith("/layers")}
    assert sorted(found.values()) == [["0", "logits"], ["1", "logits"]]


def test_an_unknown_layer_of_one_network_is_met_with_its_name(compare, nets):
    refused = compare("--layer", f"{nets('a')}:convolution")
    assert refused.status == 2
    assert "make_a: unknown layer 'convolution'" in refused.err


def test_layers_of_a_model_are_listed(clbench, nets):
    own = json.loads(clbench("layers", nets("a"), "--json").out)
    assert [row["layer"] for row in own] == ["pool", "logits", "0", "1", "2", "3"]
    assert "stage4.1" in clbench("layers", "simclr_at").out
    rows = json.loads(clbench("layers", "simclr_at", "--json").out)
    assert rows[0] == {
        "layer": "stem",
        "module": "ReLU",
        "features": "16x8x8",
        "axes": "",
        "by default": "yes",
    }
    assert clbench("layers", "simclr_att").status == 2
