import pytest
import torch
from torchvision.datasets import CIFAR10

from clbench.data.load import load_test_set, training_set
from clbench.schema.errors import BadValueError, DataError, UnknownNameError


@pytest.mark.parametrize("dataset", ["cifar10", "cifar100"])
def test_the_first_test_images_come_in_the_archives_order(dataset, request):
    archive = request.getfixturevalue(dataset)
    image_set = load_test_set(dataset, n_examples=7, data_dir=archive.root)
    pixels, labels = archive.test[0]
    expected = torch.tensor(pixels[:7]).view(7, 3, 32, 32) / 255
    assert image_set.images.equal(expected)
    assert image_set.labels.tolist() == labels[:7]
    assert image_set.n_classes == {"cifar10": 10, "cifar100": 100}[dataset]
    assert image_set.name == dataset


def test_all_test_images_are_taken_when_no_number_is_given(cifar10):
    assert len(load_test_set("cifar10", data_dir=cifar10.root)) == 20


@pytest.mark.parametrize("n", [0, -3, 21])
def test_a_wrong_number_of_examples_says_how_many_there_are(cifar10, n):
    message = f"n_examples must be from 1 to 20, all that cifar10 has, got {n}"
    with pytest.raises(BadValueError, match=message):
        load_test_set("cifar10", n_examples=n, data_dir=cifar10.root)


def test_validation_is_the_last_tenth_of_the_training_images(cifar10):
    train, validation = (
        training_set("cifar10", split, data_dir=cifar10.root) for split in ("train", "validation")
    )
    assert (len(train), len(validation)) == (90, 10)
    assert torch.cat([train.images, validation.images]).equal(torch.tensor(cifar10.pixels) / 255)
    assert train.labels.tolist() + validation.labels.tolist() == cifar10.labels


def test_an_unknown_data_set_is_refused_with_the_nearest_name():
    with pytest.raises(
        UnknownNameError, match=r"unknown dataset 'cifar1'; did you mean 'cifar10'\?"
    ):
        load_test_set("cifar1")


def test_a_data_set_that_needs_a_folder_says_so():
    message = "cifar10 needs --data-dir, .* cifar-10-batches-py; clbench eval --download fetches"
    with pytest.raises(BadValueError, match=message):
        load_test_set("cifar10")


def test_a_missing_archive_names_the_options_that_mend_it(tmp_path):
    message = "no cifar100 in '.*': it holds no folder cifar-100-python; give the right --data-dir"
    with pytest.raises(DataError, match=message):
        load_test_set("cifar100", data_dir=tmp_path / "elsewhere")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("file", ["data_batch_3", "test_batch", "batches.meta"])
@pytest.mark.parametrize("how", ["cut", "missing"])
def test_a_damaged_archive_names_the_file(cifar10, file, how):
    path = cifar10.folder / file
    if how == "cut":
        path.write_bytes(path.read_bytes()[:-1])
    else:
        path.unlink()
    with pytest.raises(DataError, match=f"incomplete or damaged: {file}; unpack cifar-10-python"):
        load_test_set("cifar10", data_dir=cifar10.root)


def test_a_file_that_cannot_be_opened_is_named(cifar10, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied", "data_batch_1")

    # root may open everything, so the refusal is made up
    monkeypatch.setattr(CIFAR10, "_check_integrity", refuse)
    with pytest.raises(
        DataError, match=r"cannot read cifar10 in '.*': .*Permission denied.*data_b"
    ):
        load_test_set("cifar10", data_dir=cifar10.root)


def test_a_downloaded_archive_is_unpacked_only_when_asked(packed):
    with pytest.raises(DataError, match="or let clbench eval --download fetch it"):
        load_test_set("cifar10", data_dir=packed.root)
    image_set = load_test_set("cifar10", data_dir=packed.root, download=True)
    assert image_set.labels.tolist() == packed.test[0][1]


def test_a_failed_download_says_from_where(tmp_path, monkeypatch):
    monkeypatch.setattr(CIFAR10, "url", (tmp_path / "absent.tar.gz").as_uri())
    message = r"cannot download cifar10 from file:///.*absent.tar.gz to '.*': .*; unpack .* by hand"
    with pytest.raises(DataError, match=message):
        load_test_set("cifar10", data_dir=tmp_path, download=True)
