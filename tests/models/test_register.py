import copy
import pickle
import subprocess
import sys

import pytest
import timm
import torch
from timm.models import get_pretrained_cfg

from clbench.models import ZOO, register
from clbench.models import weights as weights_module
from clbench.models.register import robustbench_name
from clbench.models.zoo import WEIGHTS_DIR
from clbench.schema.errors import WeightsError

GREY = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
COLOUR = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
PACKAGED = {spec.full_name: spec for spec in ZOO}["simclr_at.digits"]


def test_importing_registers_silently():
    code = (
        "import warnings; warnings.simplefilter('error', UserWarning)\n"
        "import clbench.models, timm\n"
        "clbench.models.register()\n"
        "print(len(timm.list_models(module='register')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["30"]
    assert "clbench" not in done.stderr


def test_registering_again_changes_nothing():
    before = {name: timm.model_entrypoint(name) for name in timm.list_models("sup*")}
    register()
    assert {name: timm.model_entrypoint(name) for name in timm.list_models("sup*")} == before


def test_models_are_listed_by_pattern():
    listed = timm.list_models("simclr*")
    assert {"simclr_st", "simclr_at", "simclr_partial_at", "simclr_full_at"} <= set(listed)
    assert "simclr_at_cifar10_linf" in listed
    assert "simclr_at.cifar100" in timm.list_models("simclr*", include_tags=True)


def test_default_tag_is_the_one_whose_weights_are_in_the_package():
    assert get_pretrained_cfg("simclr_at").tag == "digits"
    images = GREY
    by_default = timm.create_model("simclr_at", pretrained=True).eval()
    assert torch.equal(
        by_default(images), timm.create_model("simclr_at.digits", pretrained=True).eval()(images)
    )


def test_tag_may_be_given_apart():
    network = timm.create_model("simclr_at", pretrained_cfg="cifar100")
    assert (network.in_chans, network.num_classes) == (3, 100)


def test_saved_configuration_builds_the_same_network():
    saved = timm.create_model("simclr_at.digits").pretrained_cfg
    network = timm.create_model("simclr_at", pretrained_cfg=saved)
    assert network.feature_info[0]["num_chs"] == 16


def test_unknown_tag_is_refused():
    with pytest.raises(RuntimeError, match=r"Invalid pretrained tag \(digit\)"):
        timm.create_model("simclr_at.digit")


@pytest.fixture
def damaged(tmp_path, monkeypatch):
    """Stand a copy of the packaged weights, cut off, in the package's place."""
    data = (WEIGHTS_DIR / PACKAGED.weights.file).read_bytes()
    (tmp_path / PACKAGED.weights.file).write_bytes(data[: len(data) // 2])
    monkeypatch.setattr(weights_module, "WEIGHTS_DIR", tmp_path)


@pytest.mark.usefixtures("damaged")
def test_damaged_package_is_refused_by_timm_too():
    message = (
        rf"^weights of 'simclr_at.digits': sha256 is \w{{12}}, expected "
        rf"{PACKAGED.weights.sha256[:12]}; install clbench again$"
    )
    with pytest.raises(WeightsError, match=message):
        timm.create_model("simclr_at.digits", pretrained=True)


def test_users_own_source_goes_before_the_row(make_network, make_weights):
    overlay = {"file": str(make_weights()), "custom_load": True}
    network = timm.create_model(
        "simclr_at.digits", pretrained=True, pretrained_cfg_overlay=overlay
    ).eval()
    assert torch.equal(network(GREY), make_network()(GREY))


# what RobustBench asks for, before there are weights


@pytest.fixture
def promised():
    """Return a network that RobustBench would get without a checkpoint of its own."""
    spec = {spec.full_name: spec for spec in ZOO}["supcon_at.cifar100"]
    return timm.create_model(robustbench_name(spec), num_classes=100, pretrained=True).eval()


def test_network_without_its_weights_refuses_to_run(promised):
    with pytest.raises(
        WeightsError, match=r"^model 'supcon_at.cifar100' has no weights yet; train it"
    ):
        promised(COLOUR)


def test_network_runs_once_it_has_weights(promised):
    trained = timm.create_model("supcon_at.cifar100").eval()
    promised.load_state_dict(trained.state_dict())
    assert torch.equal(promised(COLOUR), trained(COLOUR))


def test_some_of_the_weights_are_not_enough(promised):
    promised.load_state_dict({"fc.bias": torch.zeros(100)}, strict=False)
    with pytest.raises(WeightsError, match=r"has no weights yet"):
        promised(COLOUR)


def test_network_without_its_weights_can_be_copied(promised):
    for copied in (copy.deepcopy(promised), pickle.loads(pickle.dumps(promised))):
        with pytest.raises(WeightsError, match=r"has no weights yet"):
            copied(COLOUR)
        copied.load_state_dict(copied.state_dict())
        assert copied(COLOUR).shape == (2, 100)
    with pytest.raises(WeightsError, match=r"has no weights yet"):
        promised(COLOUR)
