from dataclasses import FrozenInstanceError, replace
from fractions import Fraction

import pytest

from clbench.schema.dataclass_io import to_table
from clbench.schema.errors import BadValueError, UnknownNameError
from clbench.schema.names import SCENARIOS
from clbench.training.recipe import CRITERION, Optimizer, Validation

SGD = Optimizer("sgd", lr=0.1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": 0}, "^epochs of phase must be at least 1, got 0$"),
        ({"batch_size": 1}, "^batch_size of phase must be at least 2, got 1$"),
        ({"validate_every": 0}, "^validate_every of phase must be at least 1, got 0$"),
        ({"projection": 0}, "^projection of phase must be at least 1, got 0$"),
        ({"beta": -1.0}, r"^beta of phase must be at least 0, got -1\.0$"),
        ({"temperature": 0.0}, r"^temperature of a phase must be above 0, got 0\.0$"),
        ({"labelled": 0.0}, r"^labelled of a phase must be in \(0, 1\], got 0\.0$"),
        ({"labelled": 1.5}, r"^labelled of a phase must be in \(0, 1\], got 1\.5$"),
        ({"labelled_loss": "supcon"}, "^labelled_loss 'supcon' needs images without labels; set"),
        (
            {"loss": "cross_entropy", "labelled": 0.5, "labelled_loss": "supcon"},
            "^loss 'cross_entropy' needs labels; beside labelled_loss = 'supcon' it must be a con",
        ),
        ({"trains": "classifier"}, "^loss 'nt_xent' needs trains = 'everything', got 'classifier'"),
        ({"loss": "trades"}, "^loss 'trades' needs an adversary, got none$"),
    ],
)
def test_an_impossible_phase_is_refused(make_phase, change, message):
    with pytest.raises(BadValueError, match=message):
        make_phase(**change)


@pytest.mark.parametrize(
    "change", [{"loss": "nt_xnt"}, {"labelled": 0.5, "labelled_loss": "nt_xnt"}]
)
def test_an_unknown_loss_is_refused_with_the_nearest_name(make_phase, change):
    with pytest.raises(UnknownNameError, match=r"^unknown loss 'nt_xnt'; did you mean 'nt_xent'\?"):
        make_phase(**change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lr": 0.0}, r"^lr of an optimizer must be above 0, got 0\.0$"),
        ({"weight_decay": -1.0}, r"^weight_decay of optimizer must be at least 0, got -1\.0$"),
        ({"momentum": -0.9}, r"^momentum of optimizer must be at least 0, got -0\.9$"),
        ({"warmup_epochs": -1}, "^warmup_epochs of optimizer must be at least 0, got -1$"),
    ],
)
def test_an_impossible_optimizer_is_refused(change, message):
    with pytest.raises(BadValueError, match=message):
        replace(SGD, **change)


@pytest.mark.parametrize(
    ("field", "text", "most"),
    [
        ("pretraining.epochs", "10000000", 100_000),
        ("pretraining.batch_size", "100000000", 2**20),
        ("pretraining.projection", "1000000", 2**16),
        ("pretraining.validate_every", "1000000", 100_000),
        ("pretraining.beta", "1e9", 1000),
        ("pretraining.temperature", "1e9", 1000),
        ("pretraining.optimizer.lr", "1e30", 100),
        ("pretraining.optimizer.weight_decay", "5.0", 1),
        ("pretraining.optimizer.momentum", "1.0", 0.9999),
        ("pretraining.optimizer.warmup_epochs", "1000000", 100_000),
        ("pretraining.adversary.steps", "1000000", 10_000),
        ("pretraining.adversary.step_size", "1e6", 100),
        ("pretraining.adversary.warmup_epochs", "1000000", 100_000),
        ("validation.steps", "1000000", 10_000),
        ("finetuning.epochs", "9223372036854775807", 100_000),
    ],
)
def test_absurd_numbers_are_refused(make_recipe, field, text, most):
    name = field.rpartition(".")[2]
    with pytest.raises(BadValueError, match=rf"^{name} of .* must be at most {most}, got \d"):
        make_recipe("simclr_full_at", {field: text})


@pytest.mark.parametrize(
    ("field", "text"), [("shift", "1e9"), ("crop_padding", "100000"), ("rotation", "720")]
)
def test_absurd_views_are_refused(make_recipe, field, text):
    with pytest.raises(BadValueError, match=rf"^{field} of views must be from 0 to \d+, got \d"):
        make_recipe("simclr_at", {f"pretraining.views.{field}": text})


def test_a_temperature_that_overflows_is_refused(make_recipe):
    with pytest.raises(BadValueError, match=r"^temperature of phase must be at least 0\.001, got"):
        make_recipe("simclr_at", {"pretraining.temperature": "1e-9"})


def test_validation_needs_a_step():
    with pytest.raises(BadValueError, match=r"^steps of validation must be at least 1, got 0$"):
        Validation(Fraction(1, 6), 0)


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_that_not_every_generator_takes_is_refused(make_recipe, seed):
    with pytest.raises(BadValueError, match=rf"^seed must be from 0 to 4294967295, got {seed}$"):
        make_recipe(seed=seed)


def test_a_recipe_that_trains_no_classifier_is_refused(make_recipe):
    with pytest.raises(BadValueError, match=r"^simclr_at\.digits needs a finetuning phase: .*nt_x"):
        make_recipe("simclr_at", {"finetuning": "none"})


def test_recipes_are_frozen(make_recipe):
    with pytest.raises(FrozenInstanceError, match="seed"):
        make_recipe().seed = 1


def test_standard_models_are_chosen_by_clean_accuracy_and_others_by_robust():
    assert CRITERION["st"] == "clean_acc"
    assert {CRITERION[scenario] for scenario in SCENARIOS[1:]} == {"robust_acc"}


@pytest.mark.parametrize(
    ("loss", "target", "passes"),
    [
        ("nt_xent", None, 2),
        ("cross_entropy", None, 1),
        ("nt_xent", "views", 2 + 2 * 3),
        ("nt_xent", "one_view", 2 + 3),
        ("nt_xent", "image", 4 + 3),
        ("supcon", "image", 4 + 3),
        ("cross_entropy", "views", 1 + 3),
        ("cross_entropy", "one_view", 1 + 3),
        ("cross_entropy", "image", 2 + 3),
        ("trades", "views", 2 + 3),
        ("trades", "one_view", 2 + 3),
        ("trades", "image", 2 + 3),
    ],
)
def test_the_passes_of_a_phase_count_what_is_compared_and_attacked(
    make_phase, make_adversary, loss, target, passes
):
    adversary = target and make_adversary(steps=3, target=target)
    assert make_phase(loss, adversary=adversary).passes_per_image == passes


def test_phases_are_named_in_their_order(make_recipe):
    assert list(make_recipe("simclr_at").phases) == ["pretraining", "finetuning"]
    assert list(make_recipe("supervised_at").phases) == ["pretraining"]


def test_a_table_holds_every_field_but_none(make_recipe):
    table = to_table(make_recipe("supervised_at"))
    assert table["validation"]["eps"] == "1/6"
    assert table["pretraining"]["optimizer"]["name"] == "sgd"
    assert "finetuning" not in table


def test_the_sha256_of_a_recipe_heeds_every_field_but_the_seed_and_defaults(make_recipe):
    recipe = make_recipe("supervised_at")
    assert replace(recipe, seed=5).sha256 == recipe.sha256
    assert replace(recipe, precision="bfloat16").sha256 != recipe.sha256
    longer = replace(recipe.pretraining, epochs=99)
    assert replace(recipe, pretraining=longer).sha256 != recipe.sha256
    table = to_table(recipe, defaults=False)
    assert "finetuning" not in table
    assert "precision" not in table
    assert "labelled_loss" not in table["pretraining"]
