"""RobustBench's zoo through one function with one-line errors."""

import socket
import sys

import pytest
import torch

from clbench.interop import robustbench as interop
from clbench.models.checkpoints.read import read_checkpoint
from clbench.schema.errors import InstallationError, UnknownNameError, WeightsError

NAME = "Wong2020Fast"


@pytest.fixture
def place(tmp_path):
    """Where the weights of that model belong."""
    (tmp_path / "cifar10" / "Linf").mkdir(parents=True)
    return tmp_path / "cifar10" / "Linf" / f"{NAME}.pt"


@pytest.fixture
def _offline(monkeypatch):
    def fail(*_):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)


def load(folder, name=NAME, dataset="cifar10", norm="Linf"):
    return interop.load_model(
        name, dataset, norm, folder, lambda path: read_checkpoint(path).content
    )


def test_robustbench_can_be_imported_afterwards():
    assert sys.modules["robustbench"].utils.load_model
    assert sys.modules["robustbench.eval"].benchmark is interop.benchmark
    assert sys.modules["robustbench.eval"].AutoAttack.__name__ == "AutoAttack"


def test_weights_in_their_place_are_loaded(place, tmp_path):
    rows = sys.modules["robustbench.model_zoo"].model_dicts
    by_norm = next(row for dataset, row in rows.items() if dataset.value == "cifar10")
    models = next(row for norm, row in by_norm.items() if norm.value == "Linf")
    expected = models[NAME]["model"]().eval()
    torch.save(expected.state_dict(), place)
    loaded, images = load(tmp_path), torch.rand(2, 3, 32, 32)
    assert not loaded.training
    with torch.no_grad():
        assert torch.equal(loaded(images), expected(images))


@pytest.mark.usefixtures("_offline")
def test_without_a_network_the_error_says_where_to_put_the_file(tmp_path, capsys):
    message = (
        rf"weights of RobustBench's '{NAME}' cannot be fetched: ConnectionError; fetch them where "
        rf"there is a network and put them at {tmp_path}/cifar10/Linf/{NAME}\.pt$"
    )
    with pytest.raises(WeightsError, match=message):
        load(tmp_path)
    assert capsys.readouterr().out == "", "a command's stdout is its own"


@pytest.mark.usefixtures("_offline")
def test_an_ensemble_has_a_file_for_each_member(tmp_path):
    with pytest.raises(WeightsError, match=r"2020Adversarial\.pt_m0\.pt to .*\.pt_m2\.pt$"):
        load(tmp_path, "Chen2020Adversarial")


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(WeightsError, match="cannot be fetched: Not a directory; fetch them where"):
        load(tmp_path / "file")


@pytest.mark.parametrize("content", [b"<!DOCTYPE html><title>Quota exceeded</title>", b"", b"PK"])
def test_a_file_that_holds_no_weights_is_named(content, place, tmp_path):
    place.write_bytes(content)
    with pytest.raises(WeightsError, match=rf"^weights {place} are (a web page|cut off)"):
        load(tmp_path)


def test_the_weights_of_another_network_are_refused(place, tmp_path):
    torch.save({"fc.weight": torch.zeros(10, 3)}, place)
    with pytest.raises(
        WeightsError, match=rf"'{NAME}' cannot be used: RuntimeError: Error.*{place}"
    ):
        load(tmp_path)


def test_an_unknown_model_suggests_the_nearest(tmp_path):
    message = f"unknown RobustBench model 'Wong2020Fst' for cifar10 Linf; did you mean '{NAME}'"
    with pytest.raises(UnknownNameError, match=message):
        load(tmp_path, "Wong2020Fst")


def test_a_model_like_no_other_is_told_how_many_there_are(tmp_path):
    with pytest.raises(UnknownNameError, match=r"'zzz' for cifar10 L2; there are \d+, such as '"):
        load(tmp_path, "zzz", norm="L2")


def test_a_dataset_that_robustbench_has_not_is_refused(tmp_path):
    with pytest.raises(
        UnknownNameError,
        match=r"no models of 'digits', but of cifar10, .* give --protocol cifar10-linf",
    ):
        load(tmp_path, dataset="digits")


def test_a_norm_that_robustbench_has_not_is_refused(tmp_path):
    with pytest.raises(UnknownNameError, match="RobustBench threat model of cifar10 'L1'; known"):
        load(tmp_path, norm="L1")


def refusing_cifar10_linf(**_):
    """Stands for a model of clbench's own that has no weights."""
    raise WeightsError("no weights yet")


def test_a_model_registered_in_timm_comes_first_and_its_error_is_its_own(tmp_path):
    sys.modules["timm.models"].register_model(refusing_cifar10_linf)
    with pytest.raises(WeightsError, match=r"^no weights yet$"):
        load(tmp_path, "refusing")


def test_an_import_that_fails_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "robustbench", None)
    with pytest.raises(
        InstallationError, match=r"^robustbench cannot be imported: import of .*; r"
    ):
        interop._import_robustbench()
