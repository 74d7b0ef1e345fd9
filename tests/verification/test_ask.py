"""Which network is asked, however it is given."""

from pathlib import Path

import numpy as np
import pytest
import torch
from frauds import N

import clbench


@pytest.fixture
def verify(made, honest, monkeypatch):
    """Return a function that asks a network about the honest record."""
    monkeypatch.chdir(made)

    def verified(model, data="images.npz", **given):
        return clbench.verify(honest(), level=2, model=model, data=data, **given)

    return verified


@pytest.fixture
def network(made):
    """The network of the record, in memory."""
    return clbench.load_model(f"{made / 'net.py'}:make", dataset="digits").network


def test_a_network_may_be_given_by_name_in_memory_or_under_another_name(verify, network):
    for model in ("net.py:make", "mine=net.py:make", network):
        assert verify(model).problems == ()


def test_weights_may_come_from_a_file(verify, network, tmp_path):
    torch.save(network.state_dict(), tmp_path / "net.pt")
    assert verify("net.py:make_other", weights=tmp_path / "net.pt").problems == ()


def test_images_may_be_given_in_any_form(verify, made):
    file = np.load(made / "images.npz")
    arrays = file["x"].transpose(0, 3, 1, 2), file["y"]
    for data in ("images.npz", arrays, clbench.load_data(arrays)):
        assert verify("net.py:make", data=data).problems == ()


def test_another_network_in_memory_is_found_by_what_it_says(verify, made):
    other = clbench.load_model(f"{made / 'net.py'}:make_other", dataset="digits").network
    fields = {one.field for one in verify(other).problems}
    assert "prediction for clean_pred" in fields


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (lambda x, y: (x[::-1], y), "data.sha256 is"),
        (lambda x, y: (x, (y + 1) % 5), "data.sha256 is"),
        (lambda x, y: (x[: N // 2], y[: N // 2]), "n_examples must be"),
        (lambda x, y: (np.concatenate([x, x]), np.concatenate([y, y])), ""),
    ],
    ids=["another order", "other labels", "too few", "more behind"],
)
def test_other_images_are_told(verify, made, data, said):
    file = np.load(made / "images.npz")
    found = verify("net.py:make", data=data(file["x"].transpose(0, 3, 1, 2).copy(), file["y"]))
    if not said:
        assert found.problems == ()
        return
    (problem,) = found.problems
    assert said in str(problem)


def test_a_network_that_does_not_fit_is_a_line(verify):
    (problem,) = verify("simclr_at").problems
    assert problem.level == 2
    assert "\n" not in str(problem)
    (problem,) = verify("net.py:missing").problems
    assert "missing" in str(problem)


def test_images_of_a_public_data_set_are_asked_for_without_naming_options_that_verify_lacks():
    ours = Path(__file__).parents[2] / "leaderboard" / "records" / "cifar10" / "Linf"
    record = next(ours.glob("simclr_at*.json"))
    (problem,) = clbench.verify(record, level=2).problems
    said = "are of cifar10; give the folder of its public files with --data-dir, or the images with"
    assert said in str(problem)
    assert "--download" not in str(problem)
