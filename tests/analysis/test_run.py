"""Two networks of the zoo on a few digits, from their names to the files."""

import json
from shutil import copyfile

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from clbench.analysis.comparisons import COMPARISONS
from clbench.analysis.controls import mean_beside
from clbench.analysis.run import compare_models
from clbench.analysis.store import load
from clbench.analysis.tables import SIMILARITY_COLUMNS
from clbench.api.evaluating import evaluate
from clbench.api.loading import load_data, load_model
from clbench.attacks.registry import attack_of, plan_attack
from clbench.data.image_set import make_image_set
from clbench.evaluation.perturb import perturb
from clbench.models.zoo import WEIGHTS_DIR
from clbench.probes.similarity.cka import linear_cka
from clbench.probes.similarity.null import SHUFFLED
from clbench.probes.similarity.summaries import SUMMARIES
from clbench.schema.errors import BadValueError, DataError, UnknownNameError, WeightsError
from clbench.schema.protocol import find_protocol

PAIR = ("simclr_st", "supcon_st")
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """All comparisons for two models, drawn, with what was told while it ran."""
    out, told = tmp_path_factory.mktemp("probe"), []
    analysis = compare_models(
        PAIR,
        n_examples=24,
        attack_steps=2,
        layers=["stem", "stage4.1", "logits"],
        out=out,
        on_progress=lambda *progress: told.append(progress),
    )
    return analysis, out, told


def quick(out, **changes):
    defaults = {"models": PAIR, "n_examples": 8, "attack_steps": 1, "out": out, "figures": False}
    return compare_models(**(defaults | changes))


def test_every_comparison_is_compared_that_the_models_allow(compared):
    analysis, _, _ = compared
    found = {(matrix.comparison, matrix.rows, matrix.columns) for matrix in analysis.matrices}
    own = {(comparison, m, m) for comparison in list(COMPARISONS)[:3] for m in PAIR}
    own |= {("noise-clean", m, m) for m in PAIR}
    own |= {(what, f"{m} {what}", f"{m} {what}") for what in ("untrained", "pixels") for m in PAIR}
    cross = {
        (f"cross-{comparison}", *PAIR)
        for comparison in ("clean", "adversarial", "common", "scheme")
    }
    assert found == own | cross
    sizes = {m.similarity.values.shape for m in analysis.matrices if m.comparison != "pixels"}
    assert sizes == {(3, 3)}
    assert {m.similarity.values.shape for m in analysis.of_comparison("pixels")} == {(1, 1)}
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
    assert files == {"probe.json", *analysis.record.files}
    controls = {name for name, row in COMPARISONS.items() if row.control}
    pages = ("depth-curves", "controls", *(set(analysis.record.comparisons) - controls))
    drawn = {f"figures/{page}.{form}" for page in pages for form in ("png", "svg")}
    assert drawn == {name for name in files if name.startswith("figures/")}
    table = pd.read_csv(out / "summary.csv")
    assert len(table) == len(analysis.matrices) * len(SUMMARIES)
    assert len(load(out).matrices) == len(analysis.matrices)


def test_controls_are_of_noise_of_the_same_network_untrained_and_of_the_pixels(compared):
    analysis, out, _ = compared
    network, images = (
        load_model("simclr_st", dataset="digits").network,
        load_data("digits", n_examples=24),
    )
    adversarial = perturb(
        network,
        images,
        find_protocol("digits-linf").threat_model,
        seed=0,
        batch_size=None,
        device=CPU,
        attack=attack_of(plan_attack("pgd,steps=2", "Linf", 10)),
    )
    pixel = linear_cka(adversarial.flatten(1), images.images.flatten(1))
    found = load(out).find("pixels", "simclr_st pixels").entry("pixels", "pixels")
    assert found.value == pytest.approx(pixel, abs=0.03)
    beside = mean_beside(analysis, "simclr_st")
    assert list(beside) == ["noise", "untrained", "pixels"]
    attacked = analysis.find("adversarial-clean", "simclr_st").values.diagonal().mean()
    assert float(beside["noise"]) > attacked
    untrained = analysis.find("untrained", "simclr_st untrained").values
    assert not np.allclose(untrained, analysis.find("adversarial-clean", "simclr_st").values)


def test_what_chance_gives_is_written_and_read_again(compared):
    analysis, out, _ = compared
    again = load(out)
    assert analysis.record.permutations == again.record.permutations == 1000
    for one, other in zip(analysis.matrices, again.matrices, strict=True):
        for shuffled in SHUFFLED:
            null, found = one.similarity.null(shuffled), other.similarity.null(shuffled)
            assert found.n == null.n == 1000
            for name in ("level", "p_value", "p_adjusted"):
                assert np.array_equal(getattr(found, name), getattr(null, name), equal_nan=True)
        assert (one.similarity.heaviest is None) == (other.similarity.heaviest is None)
    own = again.find("adversarial-clean", "simclr_st")
    assert own.heaviest.shape == (3,)


def test_every_value_is_a_row_of_a_tidy_table(compared):
    analysis, out, _ = compared
    table = pd.read_csv(out / "similarities.csv")
    assert tuple(table.columns) == SIMILARITY_COLUMNS
    assert len(table) == sum(matrix.similarity.values.size for matrix in analysis.matrices)
    at = ["kind", "rows", "columns", "row_layer", "column_layer"]
    row = table.set_index(at).loc["adversarial-clean", "simclr_st", "simclr_st", "stem", "logits"]
    similarity = analysis.find("adversarial-clean", "simclr_st")
    assert row["value"] == pytest.approx(similarity.values[0, 2], abs=1e-6)
    null = similarity.null("classes")
    assert row["chance_classes"] == pytest.approx(null.level[0, 2], abs=1e-6)
    assert row["p_classes"] == pytest.approx(null.p_value[0, 2], abs=1e-6)
    assert row["p_adjusted_classes"] == pytest.approx(null.p_adjusted[0, 2], abs=1e-6)
    assert np.isnan(row["heaviest_1_percent"])
    assert row["n"] == 24


@pytest.mark.parametrize(
    ("changes", "orders"),
    [
        ({"permutations": 0}, 0),
        ({"permutations": 9}, 9),
        ({"estimator": "debiased"}, 0),
        ({"measure": "rsa"}, 0),
        ({"measure": "rsa", "permutations": 3}, 3),
    ],
)
def test_chance_is_judged_by_as_many_orders_as_asked_for(changes, orders):
    found = quick(None, comparisons=["clean-clean"], **changes)
    assert found.record.permutations == orders
    assert {len(matrix.similarity.nulls) for matrix in found.matrices} == {2 if orders else 0}


def test_the_probed_says_what_was_compared(compared):
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
    assert steps[:7] == [
        *("loading simclr_st", "loading supcon_st"),
        *("attacking simclr_st", "attacking supcon_st"),
        *("attacking simclr_st untrained", "attacking supcon_st untrained", "comparing"),
    ]
    assert ("attacking supcon_st", 24, 24) in told
    assert steps[-1].startswith("drawing ")


def test_the_same_request_gives_the_same_bytes_but_for_the_time(tmp_path):
    described = []
    for place in ("a", "b"):
        quick(tmp_path / place, comparisons=["adversarial-clean"], figures=True)
        described.append(json.loads((tmp_path / place / "probe.json").read_text()))
    same = {"wall_s": 0, "created": ""}
    assert described[0] | same == described[1] | same  # also the hashes of all other files


def test_the_diagonal_is_what_the_cka_columns_of_an_evaluation_say(tmp_path):
    record = evaluate(
        "simclr_st", attack="pgd,steps=1", n_examples=24, out=tmp_path / "results"
    ).record
    found = quick(
        None,
        models=["simclr_st"],
        n_examples=24,
        attack_steps=40,
        comparisons=["adversarial-clean"],
    )
    similarity = found.find("adversarial-clean", "simclr_st")
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
    both = ["simclr_st", f"simclr_st={own}"]
    found = quick(None, models=both, comparisons=["cross-clean"])
    assert [model.name for model in found.record.models] == ["simclr_st", "simclr_st@longer"]
    assert found.record.models[1].scheme == "simclr"
    similarity = found.find("cross-clean", "simclr_st", "simclr_st@longer")
    assert similarity.entry("pool", "pool").value == pytest.approx(1)


class Small(nn.Module):
    """A network that nobody can name."""

    def __init__(self, n_classes=4):
        super().__init__()
        self.features = nn.Sequential(nn.Flatten(), nn.Linear(64, 5), nn.BatchNorm1d(5))
        self.head = nn.Linear(5, n_classes)

    def forward(self, images):
        return self.head(self.features(images).relu())


@pytest.fixture
def own_images():
    return make_image_set("own", torch.rand(24, 1, 8, 8), torch.arange(24) % 4, n_classes=4)


def test_networks_and_images_in_memory_are_compared_and_nothing_is_written(
    tmp_path, monkeypatch, own_images
):
    monkeypatch.chdir(tmp_path)
    one, other = Small().train(), Small()
    state = {key: value.clone() for key, value in one.state_dict().items()}
    found = quick(None, models={"one": one, "other": other}, data=own_images, eps="0.1")
    assert found.folder is None
    assert not list(tmp_path.iterdir())
    assert [(model.name, model.backbone) for model in found.record.models] == [
        ("one", "Small"),
        ("other", "Small"),
    ]
    assert (found.record.data.name, found.record.data.n) == ("own", 8)
    assert found.find("cross-clean", "one", "other").values.shape == (2, 2)
    assert one.training
    assert all(one.state_dict()[key].equal(value) for key, value in state.items())


def test_a_network_in_a_list_is_called_after_its_class(own_images):
    found = quick(None, models=[Small()], data=own_images, eps="0.1", comparisons=["clean-clean"])
    assert [model.name for model in found.record.models] == ["Small"]
    with pytest.raises(BadValueError, match="different names, got 'Small' twice"):
        quick(None, models=[Small(), Small()], data=own_images, eps="0.1")


def test_a_network_of_other_classes_is_refused(own_images):
    message = r"^labels of own must be from 0 to 2, as the network has 3 outputs, .*at least 4$"
    with pytest.raises(DataError, match=message):
        quick(None, models=[Small(n_classes=3)], data=own_images, eps="0.1")
    with pytest.raises(BadValueError, match="models must be of the same data, got classes: 4 of"):
        quick(None, models={"a": Small(), "b": Small(n_classes=7)}, data=own_images, eps="0.1")


def test_a_name_can_be_given_to_a_model():
    found = quick(None, models=["mine=simclr_st"], comparisons=["clean-clean"])
    (model,) = found.record.models
    assert (model.name, model.scheme) == ("mine", "simclr")


def test_linear_probes_are_accuracies_by_model_layer_and_score():
    found = quick(None, models=["simclr_st"], linear_probes=True, layers=["pool"], n_examples=24)
    assert [(one.model, one.layer, one.score) for one in found.accuracies] == [
        ("simclr_st", "pool", score) for score in ("clean", "adv", "adaptive")
    ]
    assert found.record.pooling == "pooled"


def test_only_what_is_needed_is_attacked(tmp_path):
    told = []
    quick(
        tmp_path,
        comparisons=["cross-common"],
        common="supcon_st",
        on_progress=lambda *one: told.append(one),
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
        ({"attack_steps": 0}, BadValueError, "--attack-steps must be a whole number from 1"),
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
        ({"measure": "ckaa"}, UnknownNameError, "measure 'ckaa'; did you mean 'cka'"),
        ({"estimator": "full-set"}, BadValueError, "estimator 'full-set' is not for cka; choose"),
        ({"permutations": -1}, BadValueError, "--permutations must be a whole number from 0"),
        (
            {"estimator": "debiased", "permutations": 9},
            *(BadValueError, "permutations must be 0 for the estimator 'debiased', got 9; choose"),
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
        quick(tmp_path / "out", on_progress=lambda *one: told.append(one), **changes)
    assert not [what for what, *_ in told if what.startswith("attacking")]
    assert not (tmp_path / "out").exists()
