from dataclasses import FrozenInstanceError, replace
from fractions import Fraction

import pytest

from clbench.errors import BadValueError, UnknownNameError
from clbench.names import SCENARIOS
from clbench.train.recipe import CRITERION, Optimizer, Phase, Validation, to_table

SGD = Optimizer("sgd", lr=0.1)


@pytest.fixture
def make_phase():
    """Return a factory of phases; keyword arguments replace fields."""

    def make(**changes):
        phase = Phase("nt_xent", "everything", epochs=2, batch_size=8, optimizer=SGD)
        return replace(phase, **changes)

    return make


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": 0}, "^epochs of phase must be at least 1, got 0$"),
        ({"batch_size": 1}, "^batch_size of phase must be at least 2, got 1$"),
        ({"validate_every": 0}, "^validate_every of phase must be at least 1, got 0$"),
        ({"temperature": 0.0}, r"^temperature of a phase must be above 0, got 0\.0$"),
        ({"trains": "classifier"}, "^loss 'nt_xent' needs trains = 'everything', got 'classifier'"),
    ],
)
def test_an_impossible_phase_is_refused(make_phase, change, message):
    with pytest.raises(BadValueError, match=message):
        make_phase(**change)


def test_an_unknown_loss_is_refused_with_the_nearest_name(make_phase):
    with pytest.raises(UnknownNameError, match=r"^unknown loss 'nt_xnt'; did you mean 'nt_xent'\?"):
        make_phase(loss="nt_xnt")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lr": 0.0}, r"^lr of an optimizer must be above 0, got 0\.0$"),
        ({"weight_decay": -1.0}, r"^weight_decay of optimizer must be at least 0, got -1\.0$"),
        ({"warmup_epochs": -1}, "^warmup_epochs of optimizer must be at least 0, got -1$"),
    ],
)
def test_an_impossible_optimizer_is_refused(change, message):
    with pytest.raises(BadValueError, match=message):
        replace(SGD, **change)


def test_validation_needs_a_step():
    with pytest.raises(BadValueError, match=r"^steps of validation must be at least 1, got 0$"):
        Validation(Fraction(1, 6), 0)


def test_recipes_are_frozen(make_recipe):
    with pytest.raises(FrozenInstanceError, match="seed"):
        make_recipe().seed = 1


def test_standard_models_are_chosen_by_clean_accuracy_and_others_by_robust():
    assert CRITERION["st"] == "clean_acc"
    assert {CRITERION[scenario] for scenario in SCENARIOS[1:]} == {"robust_acc"}


def test_the_passes_of_a_phase_count_views_and_steps(make_recipe):
    recipe = make_recipe("simclr_partial_at")
    assert recipe.pretraining.passes_per_image == 2 * (1 + recipe.pretraining.adversary.steps)
    assert make_recipe("supervised_st").pretraining.passes_per_image == 1


def test_phases_are_named_in_their_order(make_recipe):
    assert list(make_recipe("simclr_at").phases) == ["pretraining", "finetuning"]
    assert list(make_recipe("supervised_at").phases) == ["pretraining"]


def test_a_table_holds_every_field_but_none(make_recipe):
    table = to_table(make_recipe("supervised_at"))
    assert table["validation"]["eps"] == "1/6"
    assert table["pretraining"]["optimizer"]["name"] == "sgd"
    assert "finetuning" not in table
