"""Weights that tell what they were trained as are recorded as that, whatever they are given to."""

import logging
import shutil

import numpy as np
import pytest
import torch

from clbench.models import ZOO, load_model, save_weights
from clbench.models.zoo import WEIGHTS_DIR
from clbench.schema.errors import BadValueError, WeightsError

SPECS = {spec.full_name: spec for spec in ZOO}


@pytest.fixture
def told(make_network, tmp_path):
    """Return a function that writes weights which tell something of themselves."""

    def write(**about):
        save_weights(make_network(), tmp_path / "x.safetensors", about=about)
        return tmp_path / "x.safetensors"

    return write


OTHERS = [
    ({"model": "semi_simclr_supervised.digits"}, ("semi_simclr_supervised", "", "")),
    (
        {"model": "semi_simclr_supervised.digits", "scheme": "simclr", "scenario": "st"},
        ("semi_simclr_supervised", "simclr", "st"),
    ),
    ({"model": "simclr_st.digits"}, ("simclr_st", "simclr", "st")),
    ({"model": "supcon_at.digits"}, ("supcon_at", "supcon", "at")),
    ({"model": "simclr_at.digits", "scenario": "st"}, ("simclr_at", "simclr", "st")),
    ({"model": "mine"}, ("mine", "", "")),
]


@pytest.mark.parametrize(("about", "known"), OTHERS)
@pytest.mark.parametrize("name", ["simclr_at", "simclr_at.digits"])
def test_other_weights_are_recorded_as_what_they_are(told, name, about, known, caplog):
    with caplog.at_level(logging.WARNING):
        loaded = load_model(name, dataset="digits", weights=told(**about))
    assert (loaded.name, loaded.scheme, loaded.scenario) == known
    (said,) = caplog.messages
    assert f"were trained as {known[0]} " in said
    assert said.endswith(f"not as {name}: recorded as that")


@pytest.mark.parametrize("about", [about for about, _ in OTHERS if "scheme" in about])
def test_timms_name_of_a_row_does_not_hide_what_they_are(told, about, caplog):
    loaded = load_model("timm:simclr_at.digits", dataset="digits", weights=told(**about))
    assert (loaded.name, loaded.scenario) == ("semi_simclr_supervised", "st")
    assert "not as timm:simclr_at.digits: recorded as that" in caplog.text
    own = load_model("timm:simclr_at", dataset="digits", weights=told(model="simclr_at.digits"))
    assert own.name == "timm:simclr_at"


@pytest.mark.parametrize("about", [{}, {"model": "simclr_at.digits"}, {"model": "simclr_at"}])
def test_its_own_weights_are_taken_without_a_word(told, about, caplog):
    loaded = load_model("simclr_at", dataset="digits", weights=told(**about))
    assert (loaded.name, loaded.scheme, loaded.scenario) == ("simclr_at", "simclr", "at")
    assert not caplog.records


@pytest.mark.parametrize("given", ["simclr_st", "supcon_full_at", "supervised_st"])
def test_a_file_of_the_package_is_known_by_its_content(given, tmp_path, caplog):
    row = SPECS["simclr_at.digits"].weights
    shutil.copy(WEIGHTS_DIR / row.file, tmp_path / "renamed.safetensors")
    loaded = load_model(given, dataset="digits", weights=tmp_path / "renamed.safetensors")
    assert (loaded.name, loaded.scenario) == ("simclr_at", "at")
    assert "were trained as simclr_at " in caplog.text


def test_weights_of_another_data_set_are_refused_with_the_line_that_works(told):
    message = (
        r"are of 'simclr_at.cifar10', trained on cifar10, the data is digits; "
        r"give --model simclr_at.cifar10 with images of cifar10$"
    )
    with pytest.raises(WeightsError, match=message):
        load_model("simclr_at", dataset="digits", weights=told(model="simclr_at.cifar10"))


@pytest.mark.parametrize("name", ["simclr_at.digits", "timm:simclr_at.digits", "timm:simclr_at"])
@pytest.mark.parametrize("shape", [(1, 24, 24), (1, 16, 8), (3, 8, 8), (1, 4, 4)])
def test_images_of_another_size_are_refused_with_the_size_it_takes(name, shape):
    with pytest.raises(BadValueError, match=r"takes images of 1x8x8 \(channels, height, width\)"):
        load_model(name, n_classes=10, shape=shape)


def test_images_of_the_right_size_but_other_origin_are_taken():
    images = torch.tensor(np.float32(np.eye(8)))[None, None]
    loaded = load_model("simclr_at.digits", n_classes=3, shape=(1, 8, 8))
    assert loaded.network(images).shape == (1, 10)
    assert loaded.preprocessing == "none"
