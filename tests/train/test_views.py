import pytest
import torch

from clbench.errors import BadValueError
from clbench.train.views import NO_VIEWS, Views, augment

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
        "clbench.train.views._uniform", lambda images, generator: torch.ones(len(images))
    )
    images = torch.rand(4, 1, 8, 8)
    seen = augment(images, Views(shift=2.0), generator)
    torch.testing.assert_close(seen[:, :, :-2, :-2], images[:, :, 2:, 2:])
    assert torch.equal(seen[:, :, -2:], torch.zeros(4, 1, 2, 8))


@pytest.mark.parametrize("size", [(8, 8), (4, 12)])
def test_half_a_turn_turns_the_image_around(generator, monkeypatch, size):
    monkeypatch.setattr(
        "clbench.train.views._uniform", lambda images, generator: torch.ones(len(images))
    )
    images = torch.rand(4, 2, *size)
    seen = augment(images, Views(rotation=180.0), generator)
    torch.testing.assert_close(seen, images.flip(2, 3), atol=1e-5, rtol=0)


@pytest.mark.parametrize(("field", "value"), [("rotation", 200.0), ("zoom", -0.1), ("shift", -1.0)])
def test_views_outside_their_range_are_refused(field, value):
    with pytest.raises(
        BadValueError, match=rf"^{field} of views must be from 0 to .*, got {value}"
    ):
        Views(**{field: value})
