"""Two networks of the zoo on a few digits, from their names to the files."""

import json
from shutil import copyfile

import numpy as np
import pandas as pd
import pytest

from clbench.analysis.comparisons import COMPARISONS
from clbench.analysis.models import Request
from clbench.analysis.run import run
from clbench.analysis.store import load
from clbench.models.zoo import WEIGHTS_DIR
from clbench.pipeline import Request as Evaluation
from clbench.pipeline import run as evaluate
from clbench.probes.similarity.summaries import SUMMARIES
from clbench.schema.errors import BadValueError, UnknownNameError, WeightsError

PAIR = ("simclr_st", "supcon_st")


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """All comparisons for two models, drawn, with what was told while it ran."""
    out, told = tmp_path_factory.mktemp("probe"), []
    request = Request(
        models=PAIR, n_examples=24, steps=2, layers=["stem", "stage4.1", "logits"], out=out
    )
    analysis = run(request, lambda *progress: told.append(progress))
    return analysis, out, told


def quick(out, **changes):
    defaults = {"models": PAIR, "n_examples": 8, "steps": 1, "out": out, "draw": False}
    return Request(**(defaults | changes))


def test_every_comparison_is_compared_that_the_models_allow(compared):
    analysis, _, _ = compared
    found = {(matrix.comparison, matrix.rows, matrix.columns) for matrix in analysis.matrices}
    own = {(comparison, m, m) for comparison in list(COMPARISONS)[:3] for m in PAIR}
    cross = {
        (f"cross-{comparison}", *PAIR)
        for comparison in ("clean", "adversarial", "common", "scheme")
    }
    assert found == own | cross
    assert all(m.similarity.values.shape == (3, 3) for m in analysis.matrices)
    assert all(np.isfinite(m.similarity.high).all() for m in analysis.matrices)


def test_a_network_on_clean_images_is_like_itself(compared):
    analysis, _, _ = compared
    similarity = analysis.find("clean-clean", "simclr_st")
    assert np.diagonal(similarity.values) == pytest.approx(1, abs=1e-5)
    own = analysis.find("adversarial-clean", "simclr_st")
    assert (own.rows.against, own.columns.against) == ("simclr_st", "")
    assert analysis.find("cross-common", *PAIR).columns.against == "simclr_st"


def test_every_file_is_there_and_can_be_read(compared):
    analysis, out, _ = compared
    files = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert files == {"probe.json", *analysis.description.files}
    pages = ("depth-curves", *analysis.description.comparisons)
    drawn = {f"figures/{page}.{form}" for page in pages for form in ("png", "svg")}
    assert drawn == {name for name in files if name.startswith("figures/")}
    table = pd.read_csv(out / "summary.csv")
    assert len(table) == len(analysis.matrices) * len(SUMMARIES)
    assert len(load(out).matrices) == len(analysis.matrices)


def test_the_description_says_what_was_compared(compared):
    _, out, _ = compared
    described = json.loads((out / "probe.json").read_text())
    assert [model["name"] for model in described["models"]] == list(PAIR)
    assert all(len(model["weights_sha256"]) == 64 for model in described["models"])
    assert described["data"]["n"] == 24
    assert described["threat_model"] == {"norm": "Linf", "eps": "1/6"}
    assert described["attack"]["parameters"]["pgd"]["steps"] == 2
    assert (described["protocol"], described["common"]) == ("custom", "simclr_st")
    assert described["layers"] == ["stem", "stage4.1", "logits"]
    assert described["versions"]["torch"]


def test_progress_tells_every_step(compared):
    _, _, told = compared
    steps = list(dict.fromkeys(what for what, _, _ in told))
    assert steps[:5] == [
        *("loading simclr_st", "loading supcon_st"),
        *("attacking simclr_st", "attacking supcon_st", "comparing"),
    ]
    assert ("attacking supcon_st", 24, 24) in told
    assert steps[-1].startswith("drawing ")


def test_the_same_request_gives_the_same_bytes_but_for_the_time(tmp_path):
    described = []
    for place in ("a", "b"):
        run(quick(tmp_path / place, comparisons=["adversarial-clean"], draw=True))
        described.append(json.loads((tmp_path / place / "probe.json").read_text()))
    same = {"wall_s": 0, "created": ""}
    assert described[0] | same == described[1] | same  # also the hashes of all other files


def test_the_diagonal_is_what_the_cka_columns_of_an_evaluation_say(tmp_path):
    record = evaluate(
        Evaluation("simclr_st", attack="pgd,steps=1", n_examples=24, out=tmp_path / "results")
    ).record
    request = quick(
        tmp_path / "probe",
        models=["simclr_st"],
        n_examples=24,
        steps=40,
        comparisons=["adversarial-clean"],
    )
    similarity = run(request).find("adversarial-clean", "simclr_st")
    for column, layer in {
        "cka_stem": "stem",
        "cka_stage4": "stage4.1",
        "cka_logits": "logits",
    }.items():
        expected, found = record.measure(column), similarity.entry(layer, layer)
        assert found.value == pytest.approx(expected.value, abs=1e-5)
        assert found.low == pytest.approx(expected.low, abs=1e-4)


def test_trainings_of_ones_own_stand_beside_the_zoo(tmp_path):
    own = tmp_path / "longer" / "weights.safetensors"
    own.parent.mkdir()
    copyfile(WEIGHTS_DIR / "simclr_st.digits.safetensors", own)
    found = run(
        quick(
            tmp_path / "out", models=["simclr_st", f"simclr_st={own}"], comparisons=["cross-clean"]
        )
    )
    assert [model.name for model in found.description.models] == ["simclr_st", "simclr_st@longer"]
    assert found.description.models[1].scheme == "simclr"
    similarity = found.find("cross-clean", "simclr_st", "simclr_st@longer")
    assert similarity.entry("pool", "pool").value == pytest.approx(1)


def test_only_what_is_needed_is_attacked(tmp_path):
    told = []
    run(
        quick(tmp_path, comparisons=["cross-common"], common="supcon_st"),
        lambda *one: told.append(one),
    )
    assert {what for what, *_ in told if what.startswith("attacking")} == {"attacking supcon_st"}


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"models": ()}, BadValueError, "give --model at least once, got none"),
        ({"models": ("simclr_st", "simclr_st.digits")}, BadValueError, "got 'simclr_st' twice"),
        ({"models": ("simclr_stt",)}, UnknownNameError, "did you mean 'simclr_st'"),
        ({"models": ("simclr_st", "supcon_st.cifar10")}, BadValueError, "is of cifar10, but"),
        (
            {"models": ("timm:vit_tiny_patch16_224",)},
            WeightsError,
            r"^timm:vit_tiny_patch16_224: .* \(here: --model timm:vit_tiny_patch16_224=FILE\)$",
        ),
        ({"models": ("simclr_st=no.safetensors",)}, WeightsError, "^simclr_st=no.safetensors: "),
        ({"steps": 0}, BadValueError, "--attack-steps must be at least 1, got 0"),
        (
            {"comparisons": ["clean-clear"]},
            UnknownNameError,
            "comparison 'clean-clear'; did you mean 'clean-clean'",
        ),
        (
            {"comparisons": ["cross-scenario"]},
            BadValueError,
            "got no such models in simclr_st, supcon_st",
        ),
        ({"common": "supcon_tt"}, UnknownNameError, "model 'supcon_tt'; did you mean 'supcon_st'"),
        (
            {"layers": ["layer4.5"]},
            UnknownNameError,
            "^simclr_st: unknown layer 'layer4.5'; did you",
        ),
        ({"estimator": "debias"}, UnknownNameError, "estimator 'debias'; did you mean 'debiased'"),
        ({"device": "cuda:99"}, BadValueError, "--device must be auto or one of cpu"),
    ],
)
def test_what_cannot_be_compared_is_met_before_anything_is_attacked(
    tmp_path, changes, error, message
):
    told = []
    with pytest.raises(error, match=message):
        run(quick(tmp_path / "out", **changes), lambda *one: told.append(one))
    assert not [what for what, *_ in told if what.startswith("attacking")]
    assert not (tmp_path / "out").exists()
