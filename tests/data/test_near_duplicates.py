import pytest
import torch

from clbench.data import near_duplicates as module
from clbench.data.interface import Examples
from clbench.data.near_duplicates import RMS_MAX, copies, twins, unique_examples


def flat(levels, labels=None, size=8):
    """Pictures of one grey level each: their RMS difference is that of the levels."""
    images = torch.tensor(levels, dtype=torch.uint8).view(-1, 1, 1, 1)
    labels = torch.zeros(len(levels), dtype=torch.int64) if labels is None else torch.tensor(labels)
    return Examples(images.expand(-1, 3, size, size).clone(), labels)


def kept(*files):
    """The grey levels that are left of each file."""
    return [examples.images[:, 0, 0, 0].tolist() for examples in unique_examples(files)]


def twins_by_definition(earlier, later):
    found = [False] * len(earlier.labels)
    for one, label in zip(later.images.tolist(), later.labels.tolist(), strict=True):
        distances = [
            (sum((a - b) ** 2 for a, b in zip(one, other, strict=True)) / len(one)) ** 0.5
            if label == other_label
            else float("inf")
            for other, other_label in zip(
                earlier.images.tolist(), earlier.labels.tolist(), strict=True
            )
        ]
        nearest = min(range(len(distances)), key=distances.__getitem__)
        found[nearest] |= distances[nearest] < RMS_MAX
    return found


@pytest.mark.parametrize("chunk", [1, 7, 1024])
def test_twins_are_those_of_the_definition(monkeypatch, chunk):
    monkeypatch.setattr(module, "_CHUNK", chunk)
    earlier = Examples(255 * torch.rand(60, 12), torch.arange(60) % 3)
    later = torch.cat([earlier.images[:30] + 7 * torch.randn(30, 12), 255 * torch.rand(20, 12)])
    later = Examples(later, torch.arange(50) % 3)
    expected = twins_by_definition(earlier, later)
    assert 5 < sum(expected) < 25
    assert twins(earlier, later).tolist() == expected


@pytest.mark.parametrize("size", [8, 32])
def test_the_threshold_is_in_grey_levels(size):
    later = flat([0, 100, 200], size=size)
    assert kept(flat([6, 107, 206], size=size), later) == [[107], [0, 100, 200]]


def test_noise_that_averages_out_makes_no_other_picture():
    noisy = flat([100], size=32)
    noisy.images[..., ::2] += 60
    noisy.images[..., 1::2] -= 60
    assert [len(file.labels) for file in unique_examples([noisy, flat([100], size=32)])] == [0, 1]


def test_only_the_nearest_picture_is_a_twin():
    assert kept(flat([97, 101, 103]), flat([100])) == [[97, 103], [100]]


def test_a_nearer_picture_of_another_label_is_none():
    assert kept(flat([100, 103], [1, 0]), flat([100], [0])) == [[100], [100]]


def test_files_without_a_common_label_are_left_as_they_are():
    assert kept(flat([1, 2], [0, 1]), flat([1, 2], [2, 3])) == [[1, 2], [1, 2]]


def test_a_picture_in_three_files_is_taken_from_the_last():
    assert kept(flat([10, 50, 90]), flat([10, 130]), flat([90, 10])) == [[50], [130], [90, 10]]


def test_labels_go_with_their_pictures():
    first, _ = unique_examples([flat([10, 50, 90], [3, 4, 5]), flat([50], [4])])
    assert first.labels.tolist() == [3, 5]


def test_one_file_alone_is_left_as_it_is():
    assert kept(flat([5, 5, 5])) == [[5, 5, 5]]


# what is on two sides


def pictures(n, seed=0):
    return torch.rand(n, 3, 16, 16, generator=torch.Generator().manual_seed(seed))


def test_equal_pictures_are_exact_copies_whatever_their_order():
    images, others = pictures(30), pictures(20, seed=1)
    others[[3, 17]] = images[[29, 0]]
    found = copies(images, others)
    assert found.exact.nonzero().flatten().tolist() == [0, 29]
    assert not found.near.any()


@pytest.mark.parametrize("levels", [0.5, -2, 5])
def test_pictures_within_the_threshold_are_near_and_not_exact(levels):
    others = pictures(20) * 0.2 + torch.linspace(0, 0.7, 20)[:, None, None, None]
    found = copies(others[5:9] + levels / 255, others)
    assert found.near.tolist() == [True] * 4
    assert found.exact.tolist() == [False] * 4


def test_other_pictures_are_neither():
    found = copies(pictures(50), pictures(50, seed=1))
    assert not (found.exact | found.near).any()


@pytest.mark.parametrize("contrast", [1, 0.1, 0.01, 0.001])
@pytest.mark.parametrize("level", [0, 0.5, 0.9])
def test_the_threshold_heeds_how_far_pictures_are_apart(contrast, level):
    images, others = (level + contrast * pictures(40, seed) / 10 for seed in (0, 1))
    found = copies(images, others)
    assert not (found.exact | found.near).any()
    assert copies(others[:5], others).exact.all()


def test_one_picture_alone_is_only_equal_to_itself():
    one = pictures(1)
    assert copies(one, one).exact.tolist() == [True]
    assert copies(one * 0.999, one) == (torch.tensor([False]), torch.tensor([False]))
