"""Ordinary networks evaluate without a flag: the checks of strange ones leave them alone."""

import pytest
import timm
import torch
import torchvision

import clbench

TIMM = (
    *("resnet10t", "resnet18", "resnet26d", "seresnet18", "regnetx_002", "regnety_002"),
    *("densenet121", "mobilenetv3_small_050", "lcnet_050", "efficientnet_b0", "ghostnet_100"),
    *("convnext_atto", "vit_tiny_patch16_224", "deit_tiny_patch16_224", "poolformer_s12"),
    *("edgenext_xx_small", "test_vit", "test_efficientnet"),
)
TORCHVISION = ("squeezenet1_1", "shufflenet_v2_x0_5", "mnasnet0_5")
FIXED_SIZE = {name: {"img_size": 32} for name in TIMM if "224" in name or name == "test_vit"}


@pytest.fixture(scope="module")
def images():
    return torch.rand(6, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def flags(network, images):
    network.eval()
    with torch.no_grad():
        labels = network(images).argmax(1)
    done = clbench.evaluate(
        network, data=(images, labels), eps="1/255", attack="pgd,steps=1", batch_size=4, probe=False
    )
    return done.record.flag_names


@pytest.mark.parametrize("name", TIMM)
def test_networks_of_timm_raise_no_flag(name, images):
    network = timm.create_model(name, num_classes=10, **FIXED_SIZE.get(name, {}))
    assert flags(network, images) == ()


@pytest.mark.parametrize("name", TORCHVISION)
@pytest.mark.filterwarnings("ignore:The default weight initialization:FutureWarning")
def test_networks_of_torchvision_raise_no_flag(name, images):
    network = torchvision.models.get_model(name, num_classes=10)
    assert flags(network, images) == ()
