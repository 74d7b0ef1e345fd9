"""The same weights give the same logits, whichever door they come through."""

import pytest
import timm
import torch

from clbench.models import load_model, save_weights
from clbench.runtime.hashing import state_sha256
from clbench.schema.errors import BadValueError, UnknownNameError, WeightsError

COLOUR = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def robustbench():
    """Return RobustBench as clbench makes it work."""
    from clbench.interop import robustbench as interop

    assert interop
    import robustbench

    return robustbench


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """Return a file of weights for a zoo model, other ones than the package has."""
    network = timm.create_model("simclr_at.cifar10").eval()
    file = tmp_path_factory.mktemp("checkpoint") / "simclr_at.cifar10.safetensors"
    save_weights(network, file)
    return file


def test_three_doors_give_equal_logits(robustbench, checkpoint):
    by_robustbench = robustbench.utils.load_model(
        "simclr_at", dataset="cifar10", threat_model="Linf", custom_checkpoint=str(checkpoint)
    )
    overlay = {"file": str(checkpoint), "custom_load": True}
    by_timm = timm.create_model(
        "simclr_at.cifar10", pretrained=True, pretrained_cfg_overlay=overlay
    ).eval()
    by_name = load_model("simclr_at", dataset="cifar10", weights=checkpoint).network
    assert type(by_robustbench) is type(by_timm) is type(by_name)
    assert torch.equal(by_robustbench(COLOUR), by_timm(COLOUR))
    assert torch.equal(by_name(COLOUR), by_timm(COLOUR))


@pytest.mark.parametrize(("dataset", "n_classes"), [("cifar10", 10), ("cifar100", 100)])
def test_robustbench_finds_the_network_of_its_data_set(robustbench, dataset, n_classes):
    network = robustbench.utils.load_model("supcon-at", dataset=dataset, threat_model="Linf")
    assert network.num_classes == n_classes
    assert not network.training


def test_robustbench_without_weights_says_how_to_make_them(robustbench):
    network = robustbench.utils.load_model("simclr_at", dataset="cifar100", threat_model="Linf")
    with pytest.raises(
        WeightsError, match=r"^model 'simclr_at.cifar100' has no weights yet; train it"
    ):
        network(COLOUR)


# models of RobustBench


@pytest.mark.usefixtures("robustbench")
def test_model_of_robustbench_is_loaded_from_its_folder(tmp_path, monkeypatch):
    from robustbench.model_zoo.cifar10 import linf

    network = linf["Wong2020Fast"]["model"]().eval()
    folder = tmp_path / "models" / "cifar10" / "Linf"
    folder.mkdir(parents=True)
    torch.save(network.state_dict(), folder / "Wong2020Fast.pt")
    monkeypatch.chdir(tmp_path)
    loaded = load_model("robustbench:Wong2020Fast", dataset="cifar10")
    assert torch.equal(loaded.network(COLOUR), network(COLOUR))
    assert (loaded.name, loaded.scheme) == ("robustbench:Wong2020Fast", "")
    assert loaded.backbone == type(network).__name__
    assert loaded.weights_sha256 == state_sha256(network)
    assert loaded.source.startswith("robustbench 1.")


@pytest.mark.usefixtures("robustbench")
def test_unknown_model_of_robustbench_is_met_with_the_nearest():
    with pytest.raises(UnknownNameError, match=r"'Wong2020Fst'.*did you mean 'Wong2020Fast'\?$"):
        load_model("robustbench:Wong2020Fst", dataset="cifar10")


def test_model_of_robustbench_needs_one_of_its_data_sets():
    message = (
        r"^model 'robustbench:Wong2020Fast' needs a data set, got images \[3, 40, 40\]; "
        "name its data set by a --protocol$"
    )
    with pytest.raises(BadValueError, match=message):
        load_model("robustbench:Wong2020Fast", n_classes=10, shape=(3, 40, 40))


def test_model_of_robustbench_takes_no_weights_file(checkpoint):
    message = (
        r"^model 'robustbench:Wong2020Fast' brings its own weights; leave out --weights .*10\."
    )
    with pytest.raises(BadValueError, match=message):
        load_model("robustbench:Wong2020Fast", dataset="cifar10", weights=checkpoint)
