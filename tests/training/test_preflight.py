"""What does not go together is found before anything is trained."""

from dataclasses import replace

import pytest
import torch

from clbench.data.image_set import make_image_set
from clbench.schema.errors import BadValueError
from clbench.training.augmentation import NO_VIEWS
from clbench.training.preflight import check_fits
from clbench.training.recipe_file import model_names, read_recipe, recipe_names


def images(n=60, channels=1, size=8, n_classes=10):
    rng = torch.Generator().manual_seed(0)
    pictures = torch.rand(n, channels, size, size, generator=rng)
    return make_image_set("some", pictures, torch.arange(n) % n_classes, n_classes)


def recipe_of(name="simclr_full_at", **changes):
    fields = {field.replace("__", "."): text for field, text in changes.items()}
    return read_recipe(name, "digits", changes=fields)


@pytest.mark.parametrize("phase", ["pretraining", "finetuning"])
@pytest.mark.parametrize(("field", "value"), [("jitter", "0.4"), ("grayscale", "0.2")])
def test_changes_of_colour_need_colours(phase, field, value):
    recipe = recipe_of(**{f"{phase}__views__{field}": value})
    message = rf"^{phase}\.views\.{field} needs images in colour, got {value} for 1 channel; set it"
    with pytest.raises(BadValueError, match=message):
        check_fits(recipe, images())
    check_fits(recipe, images(channels=3))


@pytest.mark.parametrize(
    ("field", "value"), [("shift", "8"), ("shift", "12.5"), ("crop_padding", "9")]
)
def test_views_stay_in_sight_of_their_image(field, value):
    recipe = recipe_of(**{f"pretraining__views__{field}": value})
    with pytest.raises(
        BadValueError, match=rf"^pretraining\.views\.{field} must be less than the i"
    ):
        check_fits(recipe, images())
    check_fits(recipe, images(size=32))


@pytest.mark.parametrize(
    ("place", "norm", "eps", "most"),
    [
        ("pretraining.adversary", "L2", "9", "8"),
        ("finetuning.adversary", "L2", "1000", "8"),
        ("pretraining.adversary", "L1", "65", "64"),
        ("validation", "L2", "8.5", "8"),
        ("validation", "L1", "100", "64"),
    ],
)
def test_a_ball_does_not_hold_every_image(place, norm, eps, most):
    recipe = read_recipe(
        "simclr_full_at", "digits", changes={f"{place}.norm": norm, f"{place}.eps": eps}
    )
    with pytest.raises(
        BadValueError, match=rf"^{place}\.eps must be at most {most}, where {norm} re"
    ):
        check_fits(recipe, images())


@pytest.mark.parametrize(
    ("name", "changes", "n", "processes", "message"),
    [
        ("supervised_st", {"pretraining.batch_size": "2"}, 60, 3, "has 2 images in a batch, and n"),
        ("supervised_st", {"pretraining.batch_size": "7"}, 60, 8, "has 7 images in a batch, and n"),
        ("supervised_st", {}, 5, 6, "has 5 images in a batch, and needs 6 for 6 processes"),
        ("supervised_st", {}, 1, 1, "has 1 images in a batch, and needs 2 for 1 process; raise"),
        ("simclr_at", {"finetuning.batch_size": "2"}, 60, 4, "^finetuning has 2 images in a batch"),
        (
            "simclr_at",
            {"finetuning.labelled": "0.001"},
            60,
            16,
            "^finetuning has 10 images in a ba",
        ),
        ("semi_simclr_supervised", {"pretraining.batch_size": "4"}, 60, 1, "has 1 images with lab"),
        ("semi_simclr_supervised", {"pretraining.batch_size": "20"}, 60, 5, "has 4 images with la"),
        (
            "semi_supcon_supervised",
            {"pretraining.labelled": "0.8", "pretraining.batch_size": "8"},
            60,
            4,
            "has 2 images without",
        ),
    ],
)
def test_every_process_has_a_part_of_every_batch(name, changes, n, processes, message):
    recipe = read_recipe(name, "digits", changes=changes)
    with pytest.raises(BadValueError, match=message):
        check_fits(recipe, images(n), processes=processes)


@pytest.mark.parametrize("dataset", ["digits", "cifar10"])
@pytest.mark.parametrize("processes", [1, 2, 8])
def test_every_shipped_recipe_fits_its_data_set(dataset, processes):
    shape = {"digits": (1, 8), "cifar10": (3, 32)}[dataset]
    some = images(600, *shape)
    read = [
        read_recipe(name, dataset, recipe_name=recipe)
        for recipe in recipe_names(dataset)
        for name in model_names(dataset, recipe)
    ]
    for recipe in read:
        check_fits(recipe, some, processes=processes)
    assert len(read) > 10


@pytest.mark.parametrize(("loss", "name"), [("nt_xent", "simclr_st"), ("supcon", "supcon_st")])
def test_more_views_than_can_be_compared_are_refused(loss, name):
    some = images(20_000, size=1)
    recipe = read_recipe(name, "digits", changes={"pretraining.batch_size": "100000"})
    assert recipe.pretraining.loss == loss
    with pytest.raises(
        BadValueError, match=r"^pretraining compares 40000 views with each other, at"
    ):
        check_fits(without_views(recipe), some)
    check_fits(without_views(read_recipe("supervised_st", "digits")), some)


def without_views(recipe):
    """The recipe with views that suit images of any size."""
    plain = {name: replace(phase, views=NO_VIEWS) for name, phase in recipe.phases.items()}
    return replace(recipe, **plain)
