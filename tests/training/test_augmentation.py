import pytest
import torch

from clbench.schema.errors import BadValueError
from clbench.training.augmentation import NO_VIEWS, Views, augment

FULL = Views(rotation=20.0, zoom=0.2, shift=1.0)


@pytest.fixture
def images():
    return torch.rand(16, 1, 8, 8)


@pytest.mark.parametrize("shape", [(16, 1, 8, 8), (16, 3, 6, 10)])
def test_views_keep_the_shape_and_the_pixel_range(generator, shape):
    seen = augment(torch.rand(shape), FULL, generator)
    assert seen.shape == shape
    assert seen.min() >= 0
    assert seen.max() <= 1


def test_no_views_change_nothing(images, generator):
    assert torch.equal(augment(images, NO_VIEWS, generator), images)


def test_the_same_generator_gives_the_same_views(images):
    first, second = (augment(images, FULL, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(first, second)


def test_every_image_has_random_numbers_of_its_own(generator):
    same = torch.rand(1, 1, 8, 8).expand(16, 1, 8, 8)
    for views in (Views(rotation=20.0), Views(zoom=0.2), Views(shift=1.0)):
        seen = augment(same, views, generator).flatten(1)
        assert len(seen.unique(dim=0)) == 16


def test_global_randomness_is_left_alone(images, generator):
    before = torch.get_rng_state()
    augment(images, FULL, generator)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_shift_by_whole_pixels_moves_the_image(generator, monkeypatch):
    monkeypatch.setattr(
        "clbench.training.augmentation._uniform", lambda images, generator: torch.ones(len(images))
    )
    images = torch.rand(4, 1, 8, 8)
    seen = augment(images, Views(shift=2.0), generator)
    torch.testing.assert_close(seen[:, :, :-2, :-2], images[:, :, 2:, 2:])
    assert torch.equal(seen[:, :, -2:], torch.zeros(4, 1, 2, 8))


@pytest.mark.parametrize("size", [(8, 8), (4, 12)])
def test_half_a_turn_turns_the_image_around(generator, monkeypatch, size):
    monkeypatch.setattr(
        "clbench.training.augmentation._uniform", lambda images, generator: torch.ones(len(images))
    )
    images = torch.rand(4, 2, *size)
    seen = augment(images, Views(rotation=180.0), generator)
    torch.testing.assert_close(seen, images.flip(2, 3), atol=1e-5, rtol=0)


# what kornia does

COLOUR = Views(crop_padding=4, resized_crop=0.2, flip=True, jitter=0.4, grayscale=0.2)
PARTS = {
    "crop_padding": Views(crop_padding=4),
    "resized_crop": Views(resized_crop=0.2),
    "flip": Views(flip=True),
    "jitter": Views(jitter=0.4),
    "grayscale": Views(grayscale=0.5),
}


@pytest.fixture
def colours():
    return torch.rand(16, 3, 32, 32)


@pytest.mark.parametrize("views", [COLOUR, *PARTS.values()], ids=["all", *PARTS])
def test_colour_views_are_random_and_decided_by_the_generator_alone(colours, views):
    before, given = torch.get_rng_state(), colours.clone()
    first, same, other = (
        augment(colours, views, torch.Generator().manual_seed(seed)) for seed in (3, 3, 4)
    )
    assert torch.equal(first, same)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(colours, given)
    assert first.shape == colours.shape
    assert first.dtype == torch.float32
    assert first.min() >= 0
    assert first.max() <= 1
    assert not first.requires_grad


@pytest.mark.parametrize(
    ("name", "least"),
    [("crop_padding", 12), ("resized_crop", 16), ("flip", 2), ("jitter", 10), ("grayscale", 2)],
)
def test_every_image_has_a_colour_view_of_its_own(generator, name, least):
    same = torch.rand(1, 3, 32, 32).expand(16, 3, 32, 32)
    assert len(augment(same, PARTS[name], generator).flatten(1).unique(dim=0)) >= least


def test_a_crop_of_a_padded_image_is_a_shift_by_whole_pixels(colours, generator):
    padded = torch.nn.functional.pad(colours, (4, 4, 4, 4))
    for image, view in zip(padded, augment(colours, PARTS["crop_padding"], generator), strict=True):
        places = image.unfold(1, 32, 1).unfold(2, 32, 1)  # [3, 9, 9, 32, 32]
        found = (places == view[:, None, None]).all(dim=(0, 3, 4))
        assert found.sum() == 1


def test_a_flip_exchanges_left_and_right_of_about_half_of_the_images(generator):
    images = torch.rand(200, 3, 4, 4)
    seen = augment(images, PARTS["flip"], generator)
    flipped = (seen == images.flip(3)).flatten(1).all(dim=1)
    kept = (seen == images).flatten(1).all(dim=1)
    assert (flipped ^ kept).all()
    assert 70 < int(flipped.sum()) < 130


def test_a_resized_crop_keeps_at_least_its_share_of_the_area(generator):
    across = torch.linspace(0, 1, 32).expand(64, 3, 32, 32)
    wide = [
        float(one[0, 16].max() - one[0, 16].min())
        for one in augment(across, Views(resized_crop=0.25), generator)
    ]
    assert min(wide) > 0.4  # as wide as a quarter of the area is at least, but for its shape
    assert max(wide) > 0.9


def test_a_share_of_the_views_is_grey(generator):
    seen = augment(torch.rand(200, 3, 4, 4), Views(grayscale=0.25), generator)
    grey = (seen[:, :1] - seen).abs().amax(dim=(1, 2, 3)) < 1e-5
    assert 25 < int(grey.sum()) < 75


def test_jitter_changes_about_four_views_of_five(generator):
    images = torch.rand(200, 3, 4, 4)
    same = (augment(images, PARTS["jitter"], generator) == images).flatten(1).all(dim=1)
    assert 15 < int(same.sum()) < 70


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("rotation", 200.0),
        ("zoom", -0.1),
        ("shift", -1.0),
        ("crop_padding", -1),
        ("resized_crop", 1.5),
        ("jitter", 2.0),
        ("grayscale", -0.5),
    ],
)
def test_views_outside_their_range_are_refused(field, value):
    message = rf"^{field} of views must be from 0 to .*, got {value}$"
    with pytest.raises(BadValueError, match=message):
        Views(**{field: value})
