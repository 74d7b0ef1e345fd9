"""A recipe is called what its adversaries make of it, or it is refused."""

from itertools import product

import pytest

from clbench.data.datasets import DATASETS
from clbench.schema.errors import BadValueError
from clbench.schema.names import SCENARIOS
from clbench.training.recipe_file import model_names, read_recipe, recipe_names
from clbench.training.scenario import MEANING, scenario_of

ADVERSARY = '{ eps = "1/6", steps = 2, step_size = 0.8 }'

WRONG = [
    ("supervised_at", "pretraining.adversary", "none", "st"),
    ("simclr_at", "pretraining.adversary", "none", "st"),
    ("supcon_at", "pretraining.adversary", "none", "st"),
    ("simclr_at", "finetuning.adversary", ADVERSARY, "partial_at"),
    ("supervised_st", "pretraining.adversary", ADVERSARY, "at"),
    ("simclr_st", "pretraining.adversary", ADVERSARY, "at"),
    ("simclr_st", "finetuning.adversary", ADVERSARY, "no scenario"),
    ("supcon_st", "finetuning.adversary", ADVERSARY, "no scenario"),
    ("semi_simclr_supervised", "pretraining.adversary", ADVERSARY, "at"),
    ("semi_simclr_supcon", "pretraining.adversary", ADVERSARY, "at"),
    ("semi_supcon_supervised", "finetuning.adversary", ADVERSARY, "no scenario"),
    ("simclr_partial_at", "finetuning.adversary", "none", "at"),
    ("simclr_partial_at", "pretraining.adversary", "none", "no scenario"),
    ("simclr_partial_at", "finetuning.trains", "everything", "full_at"),
    ("supcon_full_at", "finetuning.adversary", "none", "at"),
    ("supcon_full_at", "finetuning.trains", "classifier", "partial_at"),
    ("supervised_full_at", "finetuning", "none", "at"),
]


@pytest.mark.parametrize(("name", "field", "text", "is_rather"), WRONG)
def test_a_training_that_is_not_what_it_is_called_is_refused(name, field, text, is_rather):
    scenario = read_recipe(name, "digits").scenario
    found = "no scenario has$" if is_rather == "no scenario" else f"is '{is_rather}'; train a model"
    message = (
        rf"^scenario '{scenario}' of {name}\.digits means {MEANING[scenario]}, got .*which {found}"
    )
    with pytest.raises(BadValueError, match=message):
        read_recipe(name, "digits", changes={field: text})


@pytest.mark.parametrize(
    ("eps", "said"), [("0", "0"), ("0.0", "0"), ("0/255", "0"), ('"0"', "0"), ("1/2551", "1/2551")]
)
@pytest.mark.parametrize(
    ("name", "phase"), [("supervised_at", "pretraining"), ("simclr_partial_at", "finetuning")]
)
def test_an_adversary_of_no_eps_is_none(name, phase, eps, said):
    message = rf"^eps of an adversary must be at least 1/2550, .*, got '{said}'; train an st model$"
    with pytest.raises(BadValueError, match=message):
        read_recipe(name, "digits", changes={f"{phase}.adversary.eps": eps})


@pytest.mark.parametrize(
    "changes",
    [
        {"step_size": "0.001"},
        {"steps": "1", "step_size": "0.09"},
        {"step_size": "0", "fixed_step": "1e-9"},
    ],
)
def test_an_adversary_that_hardly_moves_is_refused(changes):
    fields = {f"pretraining.adversary.{key}": text for key, text in changes.items()}
    with pytest.raises(
        BadValueError, match=r"^steps of an adversary must reach at least 0\.1 of e"
    ):
        read_recipe("simclr_at", "digits", changes=fields)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"adversary.start": "zero"},
            "^loss 'trades' has no slope where its adversary starts, got",
        ),
        ({"beta": "0"}, r"^beta of loss 'trades' must be at least 0\.01, got 0\.0$"),
        ({"beta": "1e-6"}, r"^beta of loss 'trades' must be at least 0\.01, got 1e-06$"),
    ],
)
def test_trades_that_does_not_heed_its_adversary_is_refused(changes, message):
    fields = {f"pretraining.{key}": text for key, text in changes.items()}
    with pytest.raises(BadValueError, match=message):
        read_recipe("trades", "digits", changes=fields)


@pytest.mark.parametrize(
    ("name", "loss", "scheme"),
    [
        ("simclr_st", "supcon", "supcon"),
        ("simclr_full_at", "supcon", "supcon"),
        ("supcon_at", "nt_xent", "simclr"),
        ("simclr_st", "cross_entropy", "supervised"),
        ("semi_simclr_supervised", "supcon", "supcon"),
        ("semi_supcon_supervised", "nt_xent", "simclr"),
    ],
)
def test_a_loss_of_another_scheme_is_refused(name, loss, scheme):
    own = read_recipe(name, "digits").scheme
    message = rf"^scheme '{own}' of {name}\.digits is not that of pretraining with .* '{scheme}'$"
    with pytest.raises(BadValueError, match=message):
        read_recipe(name, "digits", changes={"pretraining.loss": loss})


@pytest.mark.parametrize("name", ["simclr_st", "simclr_at", "supcon_st"])
def test_a_semi_supervised_training_bears_a_name_of_its_own(name):
    changes = {"pretraining.labelled": "0.2", "pretraining.labelled_loss": "cross_entropy"}
    with pytest.raises(
        BadValueError, match=rf"^{name}\.digits has one loss in pretraining, got lab"
    ):
        read_recipe(name, "digits", changes=changes)


def test_every_shipped_recipe_is_what_it_is_called():
    read = [
        read_recipe(name, dataset, recipe_name=recipe)
        for dataset in DATASETS
        for recipe in recipe_names(dataset)
        for name in model_names(dataset, recipe)
    ]
    assert len(read) > 60
    assert {recipe.scenario for recipe in read} == set(SCENARIOS)


def test_every_scenario_has_its_own_adversaries():
    found = [
        scenario_of(pretraining=first, finetuning=last)
        for first, last in product((False, True), (None, "classifier", "everything"))
    ]
    assert found == ["st", None, None, "at", "partial_at", "full_at"]
    assert set(MEANING) == set(SCENARIOS)
