from fractions import Fraction

import pytest

from clbench.schema.errors import BadValueError, UnknownNameError
from clbench.training.recipe import Optimizer, Phase
from clbench.training.typed import build, expect

SGD = {"name": "sgd", "lr": 0.1}


def test_whole_numbers_stand_for_numbers():
    lr = build(Optimizer, {"name": "sgd", "lr": 1}, "optimizer").lr
    assert (lr, type(lr)) == (1.0, float)


def test_parts_are_built_all_the_way_down():
    phase = build(
        Phase,
        {
            "loss": "cross_entropy",
            "trains": "everything",
            "epochs": 1,
            "batch_size": 2,
            "optimizer": {"name": "adamw", "lr": 0.1},
            "adversary": {"eps": "8/255", "steps": 2, "step_size": 0.5},
        },
        "phase",
    )
    assert phase.optimizer.name == "adamw"
    assert phase.adversary.eps == Fraction(8, 255)


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        ({"lr": "0.1"}, BadValueError, r"^top\.lr must be a number, got '0\.1'$"),
        ({"lr": True}, BadValueError, r"^top\.lr must be a number, got True$"),
        ({"lr": float("nan")}, BadValueError, r"^top\.lr must be a finite number, got nan$"),
        ({"lr": float("inf")}, BadValueError, r"^top\.lr must be a finite number, got inf$"),
        ({"warmup_epochs": 1.0}, BadValueError, r"^top\.warmup_epochs must be a whole number, got"),
        ({"name": 3}, UnknownNameError, r"^unknown top\.name '3'; known: adam, adamw, sgd$"),
        ({"name": "sdg"}, UnknownNameError, r"^unknown top\.name 'sdg'; did you mean 'sgd'\?$"),
        ({"learn": 1}, UnknownNameError, r"^unknown field of top 'learn'; known: lr, momentum, "),
        ({"wieght_decay": 1}, UnknownNameError, r"'wieght_decay'; did you mean 'weight_decay'\?$"),
    ],
)
def test_a_wrong_field_is_named_with_its_place(change, kind, message):
    with pytest.raises(kind, match=message):
        build(Optimizer, SGD | change, "top")


def test_missing_fields_are_named():
    with pytest.raises(BadValueError, match=r"^top lacks the field 'name'"):
        build(Optimizer, {}, "top")


@pytest.mark.parametrize(
    ("kind", "value", "spoken"),
    [
        (dict, 8, "a table, got 8"),
        (str, 8, "text in quotes, got 8"),
        (int, "8", "a whole number, got '8'"),
        (bool, 1, "true or false, got 1"),
    ],
)
def test_a_value_of_another_type_is_refused_in_plain_words(kind, value, spoken):
    with pytest.raises(BadValueError, match=rf"^x must be {spoken}$"):
        expect(kind, value, "x")
