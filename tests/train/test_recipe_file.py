import shutil
from fractions import Fraction

import pytest

from clbench.errors import BadValueError, UnknownNameError
from clbench.models import ZOO
from clbench.protocol import config_dir, find_protocol
from clbench.train.recipe import Optimizer, Phase
from clbench.train.recipe_file import build, read_recipe

DIGITS = [spec.name for spec in ZOO if spec.dataset == "digits"]


@pytest.fixture
def edit(tmp_path, monkeypatch):
    """Return a function that replaces text in a copy of the digits recipes, and has it read."""
    (tmp_path / "train").mkdir()
    copy = tmp_path / "train/default-digits.toml"
    shutil.copy(config_dir() / "train" / copy.name, copy)
    monkeypatch.setattr("clbench.train.recipe_file.config_dir", lambda: tmp_path)

    def replace(old, new):
        text = copy.read_text(encoding="utf-8")
        assert old in text
        copy.write_text(text.replace(old, new), encoding="utf-8")

    return replace


@pytest.mark.parametrize("name", DIGITS)
def test_every_digits_model_has_a_recipe(name):
    recipe = read_recipe(name, "digits")
    assert recipe.full_name == f"{name}.digits"
    assert recipe == read_recipe(f"{name}.digits", "digits")


def test_validation_attacks_as_far_as_the_protocol():
    recipe = read_recipe("simclr_at", "digits")
    assert recipe.validation.eps == find_protocol("digits-linf").threat_model.eps


@pytest.mark.parametrize("scheme", ["simclr", "supcon"])
def test_adversarial_scenarios_share_their_pretraining(scheme):
    at, partial, full = (
        read_recipe(f"{scheme}_{scenario}", "digits")
        for scenario in ("at", "partial_at", "full_at")
    )
    assert at.pretraining == partial.pretraining == full.pretraining
    assert at.seed == partial.seed == full.seed
    assert at.pretraining.adversary is not None
    assert at.finetuning.adversary is None
    assert partial.finetuning.adversary is not None
    assert (at.finetuning.trains, partial.finetuning.trains) == ("classifier", "classifier")
    assert full.finetuning.trains == "everything"


def test_standard_training_has_no_adversary():
    for scheme in ("simclr", "supcon", "supervised"):
        phases = read_recipe(f"{scheme}_st", "digits").phases.values()
        assert all(phase.adversary is None for phase in phases)


def test_simclr_pretraining_uses_no_labels():
    names = [name for name in DIGITS if name.startswith("simclr")]
    assert {read_recipe(name, "digits").pretraining.loss for name in names} == {"nt_xent"}


def test_the_seed_can_be_another():
    assert read_recipe("simclr_at", "digits", seed=7).seed == 7


def test_a_phase_takes_over_what_it_is_like():
    standard, adversarial = (
        read_recipe(name, "digits").pretraining for name in ("supervised_st", "supervised_at")
    )
    assert adversarial.batch_size == standard.batch_size
    assert adversarial.adversary.eps > Fraction(1, 10)


def test_unknown_names_are_met_with_the_nearest():
    with pytest.raises(UnknownNameError, match=r"^unknown model 'simclr_att'; did you mean"):
        read_recipe("simclr_att", "digits")
    with pytest.raises(UnknownNameError, match=r"^unknown dataset 'digit'; did you mean 'digits'"):
        read_recipe("simclr_at", "digit")


def test_a_data_set_without_recipes_is_refused(edit):
    with pytest.raises(
        BadValueError, match=r"^there is no recipe for 'cifar100' yet; known: digits"
    ):
        read_recipe("simclr_at", "cifar100")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("temperature", "temprature",
         r"^unknown field of phases\.simclr_adv.* 'temprature'; did you mean 'temperature'\?$"),
        ("lr = 0.1,", "learnrate = 0.1,", r"^unknown field of .*\.optimizer 'learnrate'"),
        ("steps = 3", "stpes = 3", r"^unknown field of .*adversary 'stpes'; did you mean 'steps'"),
        ('"simclr_adversarial", finetuning = "linear" }', '"simclr_advers", finetuning = "" }',
         r"^unknown phase of default-digits\.toml 'simclr_advers'; did you mean 'simclr_adv"),
        ("simclr_at = { pretraining", "simclr_at = { pretrain",
         r"^unknown phase of simclr_at 'pretrain'; did you mean 'pretraining'"),
        ("seed =", "sead =", r"^unknown field of default-digits\.toml 'sead'; did you mean 'seed'"),
        ('name = "sgd"', 'name = "sdg"', r"^unknown .*optimizer\.name 'sdg'; did you mean 'sgd'"),
        ("simclr_at =", "simclr_ad =", r"^unknown recipe of default-digits\.toml 'simclr_at'; did"),
    ],
)  # fmt: skip
def test_an_unknown_field_is_met_with_the_nearest(edit, old, new, message):
    edit(old, new)
    with pytest.raises(UnknownNameError, match=message):
        read_recipe("simclr_at", "digits")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("epochs = 50", "epochs = 50.5", r"simclr.*\.epochs must be a whole number, got 50\.5$"),
        ("epochs = 50", "epochs = true", r"\.epochs must be a whole number, got True$"),
        ("temperature = 0.5", 'temperature = "warm"', r"temperature must be a number, got 'warm'$"),
        ('eps = "1/5"', "eps = 0.2", r"\.adversary\.eps must be text in quotes, got 0\.2$"),
        ('eps = "1/5"', 'eps = "a fifth"', "^eps must read like .*, got 'a fifth'$"),
        ("views = { rotation = 5, zoom = 0.05, shift = 0.25 }", "views = 8",
         r"\.views must be a table, got 8$"),
        ("batch_size = 128", "", r"^phases\..* lacks the field 'batch_size'$"),
        ("steps = 3", "steps = 0", "^steps of an adversary must be at least 1, got 0$"),
        ("simclr_at = { pretraining", "simclr_at = { finetuning", "is no TOML"),
        ("simclr_at = { pretraining = \"simclr_adversarial\", ", "simclr_at = { ",
         "^field 'pretraining' of simclr_at is missing in default-digits.toml$"),
        ("seed = 0", "", r"^field 'seed' is missing in default-digits\.toml$"),
        ("seed = 0", 'seed = "0"', "^seed must be a whole number, got '0'$"),
        ('[phases.simclr]', '[phases.simclr]\nlike = "simclr_adversarial"',
         "are like each other$"),
    ],
)  # fmt: skip
def test_an_ill_typed_or_missing_field_is_refused(edit, old, new, message):
    edit(old, new)
    with pytest.raises(BadValueError, match=message):
        read_recipe("simclr_at", "digits")


def test_whole_numbers_stand_for_numbers():
    assert build(Optimizer, {"name": "sgd", "lr": 1}, "optimizer").lr == 1.0


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
