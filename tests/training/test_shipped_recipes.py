import json
import re
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch

from clbench.data.datasets import DATASETS
from clbench.data.load import load_images
from clbench.data.near_duplicates import copies
from clbench.models import ZOO
from clbench.models.zoo import WEIGHTS_DIR
from clbench.schema.dataclass_io import from_table
from clbench.schema.names import SCENARIOS, SCHEMES
from clbench.schema.protocol import find_protocol
from clbench.training.augmentation import NO_VIEWS
from clbench.training.images import training_images
from clbench.training.precision import settled
from clbench.training.recipe import Recipe
from clbench.training.recipe_file import model_names, read_recipe, recipe_names

CPU = torch.device("cpu")
SHIPPED = [spec for spec in ZOO if spec.weights]
REAL = Path(__file__).parents[3] / "shared" / "data"
FILES = [REAL / "cifar10_train_jpeg.parquet", REAL / "cifar10_train_head.npz"]

MODELS = [
    (recipe, name, dataset)
    for dataset in DATASETS
    for recipe in recipe_names(dataset)
    for name in model_names(dataset, recipe)
]
PAPER = [(name, dataset) for recipe, name, dataset in MODELS if recipe == "paper"]
OURS = [row for row in MODELS if row[0] != "paper"]
GRID = [
    f"{scheme}_{scenario}"
    for scheme, scenario in product(SCHEMES, SCENARIOS)
    if (scheme, scenario) != ("supervised", "partial_at")
]


@pytest.fixture(scope="module")
def read():
    return lambda recipe, name, dataset: read_recipe(name, dataset, recipe_name=recipe)


@pytest.mark.parametrize(("recipe", "name", "dataset"), MODELS)
def test_every_model_of_every_file_is_a_recipe(read, recipe, name, dataset):
    found = read(recipe, name, dataset)
    assert found.full_name == f"{name}.{dataset}"
    phases = list(found.phases.values())
    assert phases[-1].classified
    if name in GRID:
        assert name == f"{found.scheme}_{found.scenario}"
        adversarial = [phase.adversary is not None for phase in phases]
        wanted = {"st": {False}, "at": {True, False}, "partial_at": {True}, "full_at": {True}}
        assert set(adversarial) <= wanted[found.scenario]
        assert adversarial[0] is (found.scenario != "st")


@pytest.mark.parametrize("dataset", DATASETS)
def test_every_scheme_and_scenario_has_a_default_recipe(dataset):
    assert set(GRID) <= set(model_names(dataset))
    assert {spec.name for spec in ZOO if spec.dataset == dataset} <= set(model_names(dataset))


@pytest.mark.parametrize("recipe", ["default", "narrow"])
def test_validation_attacks_as_far_as_the_protocol(read, recipe):
    assert (
        read(recipe, "simclr_at", "cifar10").validation.eps
        == find_protocol("cifar10-linf").threat_model.eps
    )
    digits = read("default", "simclr_at", "digits")
    assert digits.validation.eps == find_protocol("digits-linf").threat_model.eps


@pytest.mark.parametrize("scheme", ["simclr", "supcon"])
@pytest.mark.parametrize(
    ("recipe", "dataset"),
    [(recipe, dataset) for dataset in DATASETS for recipe in recipe_names(dataset)],
)
def test_adversarial_scenarios_share_their_pretraining(read, recipe, dataset, scheme):
    at, partial, full = (
        read(recipe, f"{scheme}_{scenario}", dataset)
        for scenario in ("at", "partial_at", "full_at")
    )
    assert at.pretraining == partial.pretraining == full.pretraining
    assert at.seed == partial.seed == full.seed
    assert at.finetuning.adversary is None
    assert partial.finetuning.adversary is not None
    assert (at.finetuning.trains, partial.finetuning.trains) == ("classifier", "classifier")
    assert full.finetuning.trains == "everything"


@pytest.mark.parametrize("dataset", DATASETS)
def test_simclr_pretraining_uses_no_labels(read, dataset):
    for recipe in recipe_names(dataset):
        for name in (f"simclr_{scenario}" for scenario in SCENARIOS):
            phase = read(recipe, name, dataset).pretraining
            assert [row.labelled for row in phase.losses] == [False]


@pytest.mark.parametrize(("name", "dataset"), PAPER)
def test_paper_recipes_have_every_quirk(read, name, dataset):
    recipe = read("paper", name, dataset)
    assert (recipe.backbone, recipe.precision) == ("resnet50", "float32")
    assert (str(recipe.validation.eps), recipe.validation.steps) == ("4/255", 40)
    for phase in recipe.phases.values():
        optimizer, adversary = phase.optimizer, phase.adversary
        assert (optimizer.name, optimizer.lr, optimizer.schedule) == ("adam", 3e-4, "constant")
        assert (optimizer.weight_decay, optimizer.warmup_epochs) == (0.0, 0)
        assert (phase.epochs, phase.batch_size, phase.separate_views) == (200, 256, True)
        assert phase.keep == "last" or not phase.classified or phase.labelled_loss
        if phase.projected:
            assert (phase.temperature, phase.projection) == (0.07, 100)
            assert (phase.views.resized_crop, phase.views.grayscale) == (0.08, 0.2)
        if adversary:
            assert (adversary.steps, adversary.fixed_step, adversary.step_size) == (5, 0.01, 0)
            assert (adversary.target, adversary.start) == ("image", "zero")
            assert str(adversary.eps) == "8/255"
            assert adversary.mode == ("eval" if phase.trains == "classifier" else "train")


@pytest.mark.parametrize("scheme", ["simclr", "supcon"])
def test_papers_finetuning_has_no_augmentation_and_is_attacked_through_unit_logits(read, scheme):
    for scenario in SCENARIOS:
        phase = read("paper", f"{scheme}_{scenario}", "cifar10").finetuning
        assert phase.views == NO_VIEWS
        assert phase.unit_logits == "attack"


def test_papers_supervised_training_is_on_unit_logits_with_augmentation(read):
    for scenario in ("st", "at"):
        phase = read("paper", f"supervised_{scenario}", "cifar10").pretraining
        assert phase.unit_logits == "always"
        assert (phase.views.crop_padding, phase.views.flip) == (5, True)


@pytest.mark.parametrize(("recipe", "name", "dataset"), OURS)
def test_our_recipes_have_none_of_the_papers_quirks(read, recipe, name, dataset):
    for phase in read(recipe, name, dataset).phases.values():
        assert phase.unit_logits == "never"
        assert phase.keep == "best"
        assert phase.optimizer.schedule == "cosine"
        assert phase.optimizer.weight_decay > 0
        assert phase.views != NO_VIEWS
        assert not phase.separate_views
        if phase.adversary:
            assert phase.adversary.mode in ("eval", "frozen_statistics")
            plain = recipe == "narrow" and phase.loss == "supcon"  # decision 0011
            assert (phase.adversary.target == "image") is plain
            assert phase.adversary.fixed_step == 0
            assert phase.adversary.start == "random"
            assert phase.adversary.steps * phase.adversary.step_size >= 1.5


def test_cifar100_is_trained_as_cifar10_is(read):
    for recipe in ("default", "paper"):
        assert model_names("cifar100", recipe) == model_names("cifar10", recipe)
        for name in model_names("cifar10", recipe):
            ten, hundred = (read(recipe, name, dataset) for dataset in ("cifar10", "cifar100"))
            assert replace(ten, dataset="cifar100") == hundred


def precision_in(card):
    """The precision that the command of a card asks for."""
    (command,) = re.findall(r"^    clbench train .*$", card, flags=re.MULTILINE)
    words = command.split()
    return words[words.index("--precision") + 1] if "--precision" in words else None


@pytest.mark.parametrize(("recipe", "name", "dataset"), MODELS)
def test_what_a_recipe_leaves_to_the_device_is_the_precision_where_speed_is_wanted(
    read, recipe, name, dataset
):
    left_open = recipe != "paper" and dataset != "digits"
    assert read(recipe, name, dataset).precision == ("auto" if left_open else "float32")


@pytest.mark.parametrize("spec", SHIPPED, ids=lambda s: s.full_name)
def test_shipped_weights_are_of_the_recipe_in_their_card_which_is_the_one_of_today(read, spec):
    card = (WEIGHTS_DIR / f"{spec.full_name}.md").read_text(encoding="utf-8")
    table = json.loads(card.split("```json")[1].split("```")[0])
    trained = from_table(Recipe, {"name": spec.name} | table, "recipe")
    today = read("narrow" if spec.dataset == "cifar10" else "default", spec.name, spec.dataset)
    again = settled(replace(today, precision=precision_in(card) or today.precision), CPU)
    assert again == trained
    assert spec.weights.recipe_sha256 == trained.sha256
    assert spec.weights.training_seed == str(today.seed) == str(trained.seed)


# what the cards claim of images


def facts_of(spec):
    """The first table of a card."""
    text = (WEIGHTS_DIR / f"{spec.full_name}.md").read_text(encoding="utf-8").partition("## ")[0]
    return dict(re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", text, flags=re.MULTILINE))


@pytest.mark.parametrize("spec", SHIPPED, ids=lambda s: s.full_name)
def test_every_card_tells_of_test_images_and_of_choices_after_test_results(spec):
    facts = facts_of(spec)
    assert "no test image" not in facts["Data"]
    late = spec.dataset == "cifar10" and spec.scheme == "supcon"
    choices = facts["Choices after test results"]
    assert choices.startswith("epochs") if late else choices.startswith("none: the recipe has not")
    assert ("Compression" in facts) is (spec.dataset == "cifar10")


def test_the_cards_of_digits_say_what_their_images_show():
    found = training_images("digits", [])
    n = f"digits: {len(found.train)} training images, {len(found.validation)} validation images"
    for spec in SHIPPED:
        if spec.dataset == "digits":
            assert facts_of(spec)["Test images"] == found.test_images
            assert facts_of(spec)["Data"].startswith(n)


@pytest.fixture(scope="module")
def of_cifar10():
    if not all(path.is_file() for path in FILES):
        pytest.skip("the development data are not on this machine")
    return training_images("cifar10", FILES)


@pytest.mark.slow
def test_a_compressed_cifar10_and_a_part_of_the_exact_one_are_50000_pictures(of_cifar10):
    parts = train, validation = of_cifar10.train, of_cifar10.validation
    assert (len(train), len(validation)) == (49_000, 1_000)
    with np.load(FILES[-1]) as exact:
        x, y = exact["x"], exact["y"]
    images = torch.cat([part.images[-len(x) :] for part in parts])[-len(x) :]
    labels = torch.cat([part.labels for part in parts])
    assert np.array_equal((images * 255).round().byte().permute(0, 2, 3, 1).numpy(), x)
    assert labels[-len(y) :].tolist() == y.tolist()
    assert torch.bincount(labels).tolist() == [5_000] * 10
    assert train.sha256.startswith("8fb51cef10ba")  # what the shipped networks were trained on


@pytest.mark.slow
def test_the_cards_of_cifar10_say_what_their_images_show(of_cifar10):
    found = of_cifar10
    test = load_images(REAL / "cifar10_test_head.npz")
    for images in (found.train, found.validation):
        seen = copies(test.images, images.images)
        assert not (seen.exact | seen.near).any()
    (note,) = found.notes
    assert note.startswith(f"1 of {len(found.train)} training images are near duplicates of valid")
    for spec in SHIPPED:
        if spec.dataset == "cifar10":
            facts = facts_of(spec)
            assert f": {len(found.train)} training images, 1000 validation images" in facts["Data"]
            assert facts["Test images"].startswith(f"none of the first {len(test)} is among these")
            assert facts["Duplicates"].startswith("1 of the training images is a near duplicate")
