import re
import shutil
from fractions import Fraction
from functools import partial

import pytest

from clbench.schema.errors import BadValueError, UnknownNameError
from clbench.schema.protocol import config_dir
from clbench.training.augmentation import NO_VIEWS
from clbench.training.recipe_file import model_names, read_recipe, recipe_names

PRETRAINED_AT = 'simclr_at = { pretraining = "simclr_adversarial", finetuning = "linear" }'


@pytest.fixture
def edit(tmp_path):
    """Return a function that replaces text in a copy of the digits recipes and reads it."""
    copy = tmp_path / "own.toml"
    shutil.copy(config_dir() / "train/default-digits.toml", copy)

    def replace(old, new, name="simclr_at"):
        text = copy.read_text(encoding="utf-8")
        assert old in text
        copy.write_text(text.replace(old, new), encoding="utf-8")
        return read_recipe(name, "digits", recipe_name=str(copy))

    return replace


@pytest.fixture
def write(tmp_path):
    """Return a function that writes a recipe file and gives its path as text."""

    def write_to(name, text):
        (tmp_path / name).write_text(text, encoding="utf-8")
        return str(tmp_path / name)

    return write_to


def changed(name="simclr_at", /, **changes):
    fields = {field.replace("__", "."): text for field, text in changes.items()}
    return read_recipe(name, "digits", changes=fields)


# names


def test_a_model_may_be_named_with_its_tag():
    assert read_recipe("simclr_at.digits", "digits") == read_recipe("simclr_at", "digits")
    assert read_recipe("simclr_at", "digits").full_name == "simclr_at.digits"


def test_a_tag_of_another_data_set_is_refused():
    with pytest.raises(BadValueError, match=r"^model 'simclr_at\.cifar10' is of cifar10, but the"):
        read_recipe("simclr_at.cifar10", "digits")


def test_the_seed_can_be_another():
    assert read_recipe("simclr_at", "digits", seed=7).seed == 7
    assert read_recipe("simclr_at", "digits", seed=7, changes={"seed": "8"}).seed == 7


def test_recipes_and_their_models_can_be_listed():
    assert recipe_names("digits") == ["default"]
    assert recipe_names("cifar10") == ["default", "narrow", "paper"]
    assert "semi_simclr_supcon" in model_names("cifar10", "paper")


def test_a_model_of_the_file_may_have_any_name():
    recipe = read_recipe("semi_simclr_supcon", "digits")
    assert (recipe.name, recipe.scheme, recipe.scenario) == ("semi_simclr_supcon", "simclr", "st")
    recipe = read_recipe("trades", "digits")
    assert (recipe.name, recipe.scheme, recipe.scenario) == ("trades", "supervised", "at")


@pytest.mark.parametrize(
    ("name", "dataset", "recipe", "message"),
    [
        (
            "simclr_att",
            "digits",
            "default",
            r"^unknown model of default-digits.toml 'simclr_att'; ",
        ),
        ("simclr_at", "digit", "default", r"^unknown dataset 'digit'; did you mean 'digits'\?$"),
        ("simclr_at", "cifar10", "papper", r"^unknown recipe of cifar10 'papper'; did .* 'paper'"),
        ("simclr_at", "digits", "paper", r"^unknown recipe of digits 'paper'; known: default$"),
    ],
)
def test_unknown_names_are_met_with_the_nearest(name, dataset, recipe, message):
    with pytest.raises(UnknownNameError, match=message):
        read_recipe(name, dataset, recipe_name=recipe)


def test_a_data_set_without_recipes_asks_for_a_file(tmp_path, monkeypatch):
    monkeypatch.setattr("clbench.training.recipe_file.config_dir", lambda: tmp_path)
    with pytest.raises(BadValueError, match=r"^there is no recipe for .digits. yet; give a file"):
        read_recipe("simclr_at", "digits")


# files


def test_a_phase_takes_over_what_it_is_like():
    standard, adversarial = (
        read_recipe(name, "digits").pretraining for name in ("supervised_st", "supervised_at")
    )
    assert adversarial.batch_size == standard.batch_size
    assert adversarial.adversary.eps > Fraction(1, 10)


def test_tables_inside_of_a_phase_are_taken_over_field_by_field():
    standard, adversarial = (
        read_recipe(name, "cifar10").pretraining for name in ("simclr_st", "simclr_at")
    )
    assert standard.optimizer.weight_decay != adversarial.optimizer.weight_decay
    assert standard.optimizer.lr == adversarial.optimizer.lr
    assert standard.views == adversarial.views


def test_a_file_takes_over_what_it_is_like(write):
    shutil.copy(config_dir() / "train/default-digits.toml", write("base.toml", ""))
    path = write(
        "mine.toml",
        'like = "base"\nseed = 5\n[phases.linear]\nepochs = 3\n'
        '[models]\nmine = { scheme = "simclr", scenario = "st", pretraining = "simclr", '
        'finetuning = "linear" }\n',
    )
    mine = read_recipe("mine", "digits", recipe_name=path)
    base = read_recipe("simclr_st", "digits")
    assert (mine.seed, mine.finetuning.epochs) == (5, 3)
    assert mine.finetuning.optimizer == base.finetuning.optimizer
    assert mine.pretraining == base.pretraining
    assert model_names("digits", path) == [*model_names("digits"), "mine"]


def test_a_recipe_of_ones_own_is_read_from_its_path(edit):
    assert edit("epochs = 50", "epochs = 51").pretraining.epochs == 51


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a = ", "^recipe .*own.toml is no TOML: "),
        ('like = "nowhere"', "^recipe '.*nowhere.toml' does not exist$"),
        ('like = "own"', "^recipe files own.toml are like each other$"),
        ('like = "other"', "^recipe files own.toml and other.toml are like each other$"),
        ("a = " + "[" * 5000, "^recipe .*own.toml is no TOML: maximum recursion depth"),
        ("a = 1" + "0" * 5000, "^recipe .*own.toml is no TOML: Exceeds the limit"),
        ("like = 3", r"^like of own\.toml must be text in quotes, got 3$"),
        ("", r"^own\.toml lacks about, backbone, seed, validation, phases, models$"),
    ],
)
def test_a_file_that_is_no_recipe_is_refused(write, text, message):
    write("other.toml", 'like = "own"')
    path = write("own.toml", text)
    with pytest.raises(BadValueError, match=message):
        read_recipe("simclr_at", "digits", recipe_name=path)


def test_a_folder_is_no_recipe(tmp_path):
    (tmp_path / "own.toml").mkdir()
    with pytest.raises(BadValueError, match=r"^recipe '.*own.toml' cannot be read: Is a directory"):
        read_recipe("simclr_at", "digits", recipe_name=str(tmp_path / "own.toml"))


def test_a_file_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(BadValueError, match=r"^recipe '.*no\.toml' does not exist$"):
        read_recipe("simclr_at", "digits", recipe_name=str(tmp_path / "no.toml"))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("temperature", "temprature",
         r"^unknown field of recipe\.pretraining 'temprature'; did you mean 'temperature'\?$"),
        ("lr = 0.1,", "learnrate = 0.1,", r"^unknown field of .*\.optimizer 'learnrate'"),
        ("steps = 3", "stpes = 3", r"^unknown field of .*adversary 'stpes'; did you mean 'steps'"),
        ('"simclr_adversarial", finetuning = "linear" }', '"simclr_advers", finetuning = "" }',
         r"^unknown phase of own\.toml 'simclr_advers'; did you mean 'simclr_adv"),
        ('like = "simclr"', 'like = "simcl"', r"^unknown phase of own\.toml 'simcl'; did you mean"),
        ("simclr_at = { pretraining", "simclr_at = { pretrain",
         r"^unknown phase of simclr_at 'pretrain'; did you mean 'pretraining'"),
        ("seed =", "sead =", r"^unknown field of own\.toml 'sead'; did you mean 'seed'"),
        ('name = "sgd"', 'name = "sdg"', r"^unknown .*optimizer\.name 'sdg'; did you mean 'sgd'"),
        ("simclr_at =", "simclr_ad =", r"^unknown model of own\.toml 'simclr_at'; did you mean"),
        ('"resnet18_w16"', '"resnet18_w17"', "^unknown backbone 'resnet18_w17'; did you mean 'res"),
    ],
)  # fmt: skip
def test_an_unknown_field_is_met_with_the_nearest(edit, old, new, message):
    with pytest.raises(UnknownNameError, match=message):
        edit(old, new)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("epochs = 50", "epochs = 50.5", r"pretraining\.epochs must be a whole number, got 50\.5$"),
        ("epochs = 50", "epochs = true", r"\.epochs must be a whole number, got True$"),
        ("temperature = 0.5", 'temperature = "warm"', r"temperature must be a number, got 'warm'$"),
        ('eps = "1/5"', "eps = true", r"\.adversary\.eps must be text in quotes, got True$"),
        ('eps = "1/5"', "eps = nan", r"\.adversary\.eps must be text in quotes, got nan$"),
        ('eps = "1/5"', "eps = 8", "^Linf eps must be at most 1, .*; did you mean '8/255'"),
        ('eps = "1/5"', 'eps = "a fifth"', "^eps must read like .*, got 'a fifth'$"),
        ("views = { rotation = 5, zoom = 0.05, shift = 0.25 }", "views = 8",
         r"\.views must be a table, got 8$"),
        ("batch_size = 128", "", r"^recipe\.pretraining lacks batch_size$"),
        ("steps = 3", "steps = 0", "^steps of an adversary must be at least 1, got 0$"),
        ("simclr_at = { pretraining", "simclr_at = { finetuning", "is no TOML"),
        ("simclr_at = { pretraining = \"simclr_adversarial\", ", "simclr_at = { ",
         "^field 'pretraining' of simclr_at is missing in own.toml$"),
        (PRETRAINED_AT, 'simclr_at = "simclr"',
         r"^own\.toml\.models\.simclr_at must be a table, got 'simclr'$"),
        (PRETRAINED_AT, "simclr_at = { pretraining = 5 }",
         r"^own\.toml\.models\.simclr_at\.pretraining must be text in quotes, got 5$"),
        ('like = "simclr"', "like = 5", "^like of simclr_adversarial must be text in quotes, got"),
        ("seed = 0", "", r"^own\.toml lacks seed$"),
        ("seed = 0", 'seed = "0"', r"^own\.toml\.seed must be a whole number, got '0'$"),
        ('[phases.simclr]', '[phases.simclr]\nlike = "simclr_adversarial"',
         "are like each other$"),
    ],
)  # fmt: skip
def test_an_ill_typed_or_missing_field_is_refused(edit, old, new, message):
    with pytest.raises(BadValueError, match=message):
        edit(old, new)


# single fields


def test_every_kind_of_field_can_be_changed_by_text():
    recipe = changed(
        seed="3",
        backbone="resnet10_w16",
        precision="bfloat16",
        validation__eps="8/255",
        pretraining__epochs="7",
        pretraining__temperature="0.07",
        pretraining__optimizer__lr="3e-4",
        pretraining__optimizer__name='"adam"',
        pretraining__views__flip="true",
        pretraining__views__rotation="10",
        pretraining__adversary__eps="1/4",
        pretraining__adversary__mode="frozen_statistics",
        finetuning__keep="last",
    )
    assert (recipe.seed, recipe.backbone, recipe.precision) == (3, "resnet10_w16", "bfloat16")
    assert recipe.validation.eps == Fraction(8, 255)
    phase = recipe.pretraining
    assert (phase.epochs, phase.temperature) == (7, 0.07)
    assert (phase.optimizer.lr, phase.optimizer.name) == (3e-4, "adam")
    assert (phase.views.flip, phase.views.rotation) == (True, 10.0)
    assert (phase.adversary.eps, phase.adversary.mode) == (Fraction(1, 4), "frozen_statistics")
    assert recipe.finetuning.keep == "last"


def test_a_change_of_one_field_leaves_all_others():
    plain, other = changed(), changed(pretraining__optimizer__lr="0.2")
    assert other.finetuning == plain.finetuning
    assert other.pretraining.optimizer.weight_decay == plain.pretraining.optimizer.weight_decay
    assert read_recipe("simclr_at", "digits") == plain


def test_none_takes_a_field_away():
    assert changed(pretraining__views="none").pretraining.views == NO_VIEWS
    assert changed(pretraining__temperature="none").pretraining.temperature == 0.5
    assert changed("supervised_at", finetuning="none").finetuning is None


def test_a_part_that_was_not_there_can_be_given_whole_or_field_by_field():
    fields = {"crop_padding": "4", "flip": "true"}
    paper = partial(read_recipe, "simclr_st", "cifar10", recipe_name="paper")
    whole = paper(changes={"finetuning.views": "{ crop_padding = 4, flip = true }"})
    single = paper(changes={f"finetuning.views.{key}": text for key, text in fields.items()})
    assert paper().finetuning.views == NO_VIEWS
    assert whole == single
    assert whole.finetuning.views.crop_padding == 4


@pytest.mark.parametrize(
    ("field", "text", "message"),
    [
        (
            "pretraining.epohcs",
            "3",
            r"^unknown field of recipe\.pretraining 'epohcs'; did .*'epoch",
        ),
        ("pretraining.optimizer.l", "3", r"^unknown field of .*optimizer 'l'; did you mean 'lr'"),
        ("finetunning.epochs", "3", "^unknown field of recipe 'finetunning'; did .* 'finetuning'"),
        (
            "pretraining.keep",
            "first",
            r"^unknown recipe\.pretraining\.keep 'first'; known: best, l",
        ),
        ("pretraining.loss", "nt_xnet", "^unknown loss 'nt_xnet'; did you mean 'nt_xent'"),
        ("precision", "float16", r"^unknown recipe\.precision 'float16'; did you mean"),
        ("name", "mine", "^unknown field of recipe 'name'; known: "),
        ("scheme", "supcon", "^unknown field of recipe 'scheme'; did you mean"),
        ("dataset", "cifar10", "^unknown field of recipe 'dataset'; known: "),
        ("pretraining.like", "supcon", r"^unknown field of recipe\.pretraining 'like'; known: adv"),
        ("phases.simclr.epochs", "3", "^unknown field of recipe 'phases'; known: backbone, "),
        ("", "3", "^unknown field of recipe ''; known: "),
    ],
)
def test_a_change_of_an_unknown_field_is_met_with_the_nearest(field, text, message):
    with pytest.raises(UnknownNameError, match=message):
        read_recipe("simclr_at", "digits", changes={field: text})


@pytest.mark.parametrize(
    ("field", "text", "message"),
    [
        ("pretraining.epochs", "", r"^recipe\.pretraining\.epochs must be a whole number, got ''$"),
        ("pretraining.epochs", "1e3", r"epochs must be a whole number, got 1000\.0$"),
        (
            "pretraining.epochs",
            "1" + "0" * 400,
            r"epochs must be a whole number of at most 64 bits, ",
        ),
        (
            "pretraining.epochs",
            "1" + "0" * 5000,
            r"epochs must be a whole number, got '100+\.\.\.00",
        ),
        ("pretraining.epochs", "[" * 5000, r"epochs must be a whole number, got '\[\[\["),
        ("pretraining.optimizer.lr", "1979-05-27", r"\.lr must be a number, got datetime\.date"),
        ("pretraining.epochs.x", "3", r"epochs must be a whole number, got \{'x': 3\}$"),
        ("pretraining.optimizer.lr", "small", r"\.lr must be a number, got 'small'$"),
        ("pretraining.optimizer.lr", "nan", r"\.lr must be a finite number, got nan$"),
        ("pretraining.views.flip", "yes", r"\.flip must be true or false, got 'yes'$"),
        ("pretraining", "simclr", r"^recipe\.pretraining must be a table, got 'simclr'$"),
        ("pretraining", "none", "^field 'pretraining' of simclr_at is missing in default-digits"),
        ("validation.eps", "8/255px", "^eps must read like '8/255' or '0.5', got '8/255px'$"),
        ("seed", "none", "^recipe lacks seed$"),
        ("finetuning", "none", r"^simclr_at\.digits needs a finetuning phase: "),
    ],
)
def test_an_impossible_change_is_refused(field, text, message):
    with pytest.raises(BadValueError, match=message):
        read_recipe("simclr_at", "digits", changes={field: text})


@pytest.mark.parametrize(
    ("name", "field", "text", "message"),
    [
        (
            name,
            f"finetuning.{field}",
            text,
            f"^{name} has no finetuning phase, only pretraining, got f",
        )
        for name in ("supervised_st", "supervised_at", "trades")
        for field, text in (("epochs", "3"), ("optimizer.lr", "0.1"), ("adversary.eps", "1/6"))
    ]
    + [
        (
            name,
            f"{phase}.adversary.{field}",
            "1",
            f"^{name} has no adversary in {phase}, got {phase}",
        )
        for name, phase in (
            ("simclr_st", "pretraining"),
            ("simclr_st", "finetuning"),
            ("simclr_at", "finetuning"),
            ("semi_supcon_supervised", "pretraining"),
        )
        for field in ("eps", "steps", "warmup_epochs")
    ],
)
def test_a_change_of_a_part_that_is_not_there_says_which_there_are(name, field, text, message):
    with pytest.raises(BadValueError, match=message):
        read_recipe(name, "digits", changes={field: text})


def test_a_phase_that_was_not_there_can_be_given_whole():
    phase = '{ loss = "cross_entropy", trains = "classifier", epochs = 2, batch_size = 64, '
    phase += 'optimizer = { name = "sgd", lr = 0.1 } }'
    assert changed("supervised_st", finetuning=phase).finetuning.epochs == 2


@pytest.mark.parametrize(
    ("text", "eps"),
    [
        ("0.03", "3/100"),
        (".03", "3/100"),
        ("3e-2", "3/100"),
        ("0.030", "3/100"),
        ("8/255", "8/255"),
        ("0.1", "1/10"),
        ('"0.1"', "1/10"),
        ("1", "1"),
        ("1e-3", "1/1000"),
        ("0.3333333333333333", "3333333333333333/10000000000000000"),
    ],
)
def test_eps_is_exact_as_it_is_written(edit, text, eps):
    for field in ("pretraining__adversary__eps", "validation__eps"):
        recipe = changed(**{field: text})
        found = recipe.validation if field.startswith("v") else recipe.pretraining.adversary
        assert found.eps == Fraction(eps)
    if text[0].isdecimal() and "/" not in text:
        assert edit('eps = "1/5"', f"eps = {text}").pretraining.adversary.eps == Fraction(eps)


@pytest.mark.parametrize(
    ("name", "field", "meant"),
    [
        ("simclr_at", "epochs", "'pretraining.epochs' or 'finetuning.epochs'"),
        ("simclr_at", "epoch", "'pretraining.epochs' or 'finetuning.epochs'"),
        ("supervised_at", "epochs", "'pretraining.epochs'"),
        ("supervised_at", "lr", "'pretraining.optimizer.lr'"),
        ("supervised_at", "batchsize", "'pretraining.batch_size'"),
        ("supervised_at", "pretraining.lr", "'pretraining.optimizer.lr'"),
        ("supervised_at", "pretraining.eps", "'pretraining.adversary.eps'"),
        ("supervised_at", "optimizer.lr", "'pretraining.optimizer.lr'"),
        ("supervised_at", "adversary.eps", "'pretraining.adversary.eps'"),
        ("supervised_at", "eps", "'validation.eps' or 'pretraining.adversary.eps'"),
        ("supervised_at", "pretraining.jitter", "'pretraining.views.jitter'"),
        ("simclr_at", "finetuning.views.lr", "'finetuning.optimizer.lr'"),
        ("simclr_at", "temprature", "'pretraining.temperature' or 'finetuning.temperature'"),
    ],
)
def test_a_field_without_its_place_is_met_with_its_places(name, field, meant):
    message = rf"^unknown field of recipe '{re.escape(field)}'; did you mean {re.escape(meant)}\?$"
    with pytest.raises(UnknownNameError, match=message):
        read_recipe(name, "digits", changes={field: "1"})
