import pytest
import timm
import torch
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from timm.models.resnet import BasicBlock, ResNet

from clbench.data.load import load_images
from clbench.models import ZOO, build_backbone, load_model, save_weights
from clbench.models.load import load_for
from clbench.runtime.hashing import state_sha256
from clbench.schema.errors import (
    BadValueError,
    DataError,
    ModelError,
    UnknownNameError,
    WeightsError,
)
from clbench.schema.files import sha256_of_file

GREY = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
COLOUR = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def test_weights_file_stands_in_for_those_of_the_zoo(make_network, make_weights):
    file = make_weights()
    loaded = load_model("supcon_full_at", dataset="digits", weights=file)
    assert torch.equal(loaded.network(GREY), make_network()(GREY))
    assert (loaded.name, loaded.tag, loaded.backbone) == (
        "supcon_full_at",
        "digits",
        "resnet18_w16",
    )
    assert (loaded.file_sha256, loaded.source) == (sha256_of_file(file), "net.safetensors")
    assert loaded.weights_sha256 == state_sha256(make_network())


def test_weights_tell_which_backbone_they_are_of(tmp_path):
    network = build_backbone("resnet10_w16", 1, 10).eval()
    save_weights(
        network, tmp_path / "x.safetensors", half=False, about={"backbone": "resnet10_w16"}
    )
    loaded = load_model("simclr_at", dataset="digits", weights=tmp_path / "x.safetensors")
    assert loaded.backbone == "resnet10_w16"
    assert torch.equal(loaded.network(GREY), network(GREY))


def test_weights_of_a_backbone_that_there_is_not_are_refused(make_network, tmp_path):
    save_weights(make_network(), tmp_path / "x.safetensors", about={"backbone": "resnet10_w17"})
    with pytest.raises(
        UnknownNameError, match=r"^unknown backbone 'resnet10_w17'; did you mean 're"
    ):
        load_model("simclr_at", dataset="digits", weights=tmp_path / "x.safetensors")


def test_weights_of_another_network_are_refused(make_weights):
    with pytest.raises(WeightsError, match=r"are of another network: it has 'layer1\.1\.bn1"):
        load_model("simclr_at", dataset="cifar10", weights=make_weights(in_chans=3))


@pytest.mark.parametrize("dataset", ["digits", "cifar10", "cifar100"])
def test_images_of_a_zoo_shape_choose_the_tag(dataset, make_weights):
    spec = next(spec for spec in ZOO if spec.dataset == dataset)
    with pytest.raises(WeightsError, match=r"cannot be read: No such file or directory$") as caught:
        load_model(
            spec.name,
            n_classes=spec.info.n_classes,
            shape=spec.info.shape,
            weights=make_weights().with_name("no"),
        )
    assert "no" in str(caught.value)


def test_own_images_of_another_shape_need_a_tag():
    with pytest.raises(
        BadValueError, match=r"^model 'simclr_at' needs a tag for this data, got none"
    ):
        load_model("simclr_at", n_classes=10, shape=(1, 28, 28))


def test_what_is_left_out_is_the_data_sets_own(tiny_timm):
    _, file = tiny_timm
    loaded = load_model("timm:clbench_test_net", dataset="cifar10", n_classes=3, weights=file)
    assert loaded.network(COLOUR).shape == (2, 3)


def test_data_must_be_known():
    with pytest.raises(
        BadValueError, match=r"^a model needs to know its data: give a dataset, or "
    ):
        load_model("simclr_at", shape=(1, 8, 8))


def test_unknown_data_set_is_met_with_the_nearest():
    with pytest.raises(
        UnknownNameError, match=r"^unknown dataset 'digit'; did you mean 'digits'\?$"
    ):
        load_model("simclr_at", dataset="digit")


def test_unknown_model_is_met_with_the_nearest():
    with pytest.raises(
        UnknownNameError, match=r"^unknown model 'simclr_att'; did you mean 'simclr_"
    ):
        load_model("simclr_att", dataset="digits")


def test_tag_must_be_of_the_data():
    with pytest.raises(
        BadValueError, match=r"^model 'simclr_at.cifar10' is of cifar10, but the data"
    ):
        load_model("simclr_at.cifar10", dataset="digits")


def test_users_network_takes_a_weights_file(make_network, make_weights, tmp_path):
    (tmp_path / "own.py").write_text(
        "from clbench.models import build_backbone\n"
        "def make():\n    return build_backbone('resnet18_w16', 1, 10)\n"
    )
    file = make_weights()
    loaded = load_model(f"{tmp_path}/own.py:make", dataset="digits", weights=file)
    assert torch.equal(loaded.network(GREY), make_network()(GREY))
    assert (loaded.file_sha256, loaded.known_by_file) == (sha256_of_file(file), True)
    assert loaded.weights_sha256 == state_sha256(make_network())
    assert loaded.source.endswith(", net.safetensors")


# models of timm


default_cfgs = {}  # where timm looks for the configurations of the models of this module


def clbench_test_net(pretrained=False, **options):
    shape = {"block": BasicBlock, "layers": (1, 1, 1, 1), "channels": (64, 8, 8, 8)}
    return build_model_with_cfg(ResNet, "clbench_test_net", pretrained, **shape, **options)


def clbench_test_broken(pretrained=False, **options):
    raise ValueError("two\nlines")


@pytest.fixture(scope="module")
def tiny_timm(tmp_path_factory):
    """Register a small timm model with weights for three classes, normalised like photographs."""
    file = tmp_path_factory.mktemp("timm") / "tiny.safetensors"
    cfg = {"file": str(file), "num_classes": 3, "input_size": (3, 16, 16), "classifier": "fc"}
    cfg |= {"mean": (0.4, 0.5, 0.6), "std": (0.2, 0.25, 0.5), "first_conv": "conv1"}
    default_cfgs.update(generate_default_cfgs({"clbench_test_net": cfg}))
    register_model(clbench_test_net)
    network = timm.create_model("clbench_test_net").eval()
    save_weights(network, file, half=False)
    return network, file


def test_timm_model_with_its_own_weights_normalises_inside(tiny_timm):
    network, _ = tiny_timm
    loaded = load_model("timm:clbench_test_net", n_classes=3, shape=(3, 16, 16))
    mean = torch.tensor([0.4, 0.5, 0.6]).reshape(3, 1, 1)
    std = torch.tensor([0.2, 0.25, 0.5]).reshape(3, 1, 1)
    torch.testing.assert_close(loaded.network(COLOUR), network((COLOUR - mean) / std))
    assert (loaded.name, loaded.backbone) == ("timm:clbench_test_net", "clbench_test_net")
    assert loaded.weights_sha256 == state_sha256(network)
    assert loaded.source == f"timm {timm.__version__}, of {__name__}"
    assert loaded.preprocessing == "normalised by mean 0.4,0.5,0.6 and std 0.2,0.25,0.5"


def test_timm_model_with_a_users_weights_normalises_as_it_is_trained(tiny_timm, caplog):
    _, file = tiny_timm
    own = load_model("timm:clbench_test_net", n_classes=3, shape=(3, 16, 16))
    loaded = load_model("timm:clbench_test_net", n_classes=3, shape=(3, 16, 16), weights=file)
    assert torch.equal(loaded.network(COLOUR), own.network(COLOUR))
    assert (loaded.file_sha256, own.file_sha256) == (sha256_of_file(file), None)
    assert loaded.weights_sha256 == own.weights_sha256
    assert loaded.source.endswith(", normalised, tiny.safetensors")
    assert loaded.preprocessing == own.preprocessing
    (said,) = caplog.messages
    assert said.endswith("normalised by mean 0.4,0.5,0.6 and std 0.2,0.25,0.5, as timm has it")


def test_timm_model_adapted_to_grey_is_normalised_by_the_average(tiny_timm):
    loaded = load_model("timm:clbench_test_net", n_classes=3, shape=(1, 16, 16))
    grey = COLOUR[:, :1]
    (hook,) = loaded.network._forward_pre_hooks.values()
    torch.testing.assert_close(hook(loaded.network, (grey,))[0], (grey - 0.5) / (0.95 / 3))


def test_timm_weights_for_other_classes_are_refused(tiny_timm):
    message = (
        "^timm model 'clbench_test_net' was trained on 3 classes, the data has 10; "
        "give other weights with --weights$"
    )
    with pytest.raises(WeightsError, match=message):
        load_model("timm:clbench_test_net", dataset="cifar10")


def test_timm_model_takes_size_and_channels_of_the_data(make_network, tmp_path):
    network = timm.create_model("test_vit", num_classes=10, in_chans=1, img_size=(32, 32)).eval()
    save_weights(network, tmp_path / "vit.safetensors", half=False)
    loaded = load_model(
        "timm:test_vit", n_classes=10, shape=(1, 32, 32), weights=tmp_path / "vit.safetensors"
    )
    grey = torch.rand(1, 1, 32, 32)
    assert torch.equal(loaded.network(grey), network((grey - 0.5) / 0.5))


def test_zoo_model_by_its_timm_name_is_the_same():
    loaded = load_model("timm:simclr_at.digits", dataset="digits")
    expected = load_model("simclr_at", dataset="digits").network
    assert torch.equal(loaded.network(GREY), expected(GREY))
    assert not loaded.network._forward_pre_hooks


def test_zoo_model_by_its_timm_name_says_that_it_has_no_weights():
    with pytest.raises(
        WeightsError, match=r"^model 'simclr_at.cifar100' has no weights yet; train it"
    ):
        load_model("timm:simclr_at.cifar100", dataset="cifar100")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("resnet_18", r"did you mean 'resnet18'\?"),
        ("resnet18.a1_in2k", r"did you mean 'resnet18.a1_in1k'\?"),
        ("qqqqqq", r"timm.list_models\(\) lists them"),
    ],
)
def test_unknown_timm_model_is_met_with_the_nearest(name, hint):
    with pytest.raises(UnknownNameError, match=rf"^unknown timm model '{name}'; {hint}$"):
        load_model(f"timm:{name}", dataset="cifar10")


def test_timm_weights_that_cannot_be_had_are_one_line():
    message = (
        "^timm model 'resnet18' cannot be built with its pretrained weights: .*; "
        "give a file with --weights$"
    )
    with pytest.raises(ModelError, match=message) as caught:
        load_model("timm:resnet18", n_classes=1000, shape=(3, 32, 32))
    assert "\n" not in str(caught.value)


def test_timm_model_that_cannot_be_built_is_one_line(make_weights):
    register_model(clbench_test_broken)
    message = (
        r"^timm model 'clbench_test_broken' cannot be built for images \[1, 8, 8\]: "
        "ValueError: two lines; choose another network$"
    )
    with pytest.raises(ModelError, match=message):
        load_model("timm:clbench_test_broken", dataset="digits", weights=make_weights())


# labels that do not show every class


@pytest.mark.parametrize("shown", [2, 3])
def test_labels_may_show_fewer_classes_than_timms_weights(tiny_timm, shown):
    own = load_model("timm:clbench_test_net", n_classes=shown, shape=(3, 16, 16))
    assert own.network(COLOUR).shape == (2, 3)
    _, file = tiny_timm
    given = load_model("timm:clbench_test_net", n_classes=shown, shape=(3, 16, 16), weights=file)
    assert torch.equal(given.network(COLOUR), own.network(COLOUR))


@pytest.mark.parametrize("wrap", [dict, lambda s: {"state_dict": s}])
@pytest.mark.parametrize("name", ["test_efficientnet", "test_vit", "resnet18"])
def test_weights_of_1000_classes_are_run_on_labels_to_700(name, wrap, tmp_path):
    network = timm.create_model(name, num_classes=1000).eval()
    prefixed = {f"module.{key}": value for key, value in network.state_dict().items()}
    torch.save(wrap(prefixed), tmp_path / "w.pth")
    size = 160 if name == "test_vit" else 32
    loaded = load_model(
        f"timm:{name}", n_classes=701, shape=(3, size, size), weights=tmp_path / "w.pth"
    )
    assert loaded.network.num_classes == 1000


def test_weights_of_a_network_of_two_heads_are_run_on_labels_to_7(tmp_path):
    network = timm.create_model("levit_128s", num_classes=10)
    torch.save(network.state_dict(), tmp_path / "own10.pt")
    images = torch.rand(16, 3, 224, 224), torch.arange(16) % 8
    loaded, seen = load_for(
        "timm:levit_128s",
        load_images(images),
        dataset=None,
        norm="Linf",
        device=torch.device("cpu"),
        weights=tmp_path / "own10.pt",
    )
    assert seen.n_classes == 10
    assert loaded.network(images[0][:2]).shape == (2, 10)


def test_more_classes_than_the_weights_have_are_refused(tiny_timm):
    _, file = tiny_timm
    with pytest.raises(WeightsError, match=r"are of another network: 'fc.bias' is \[3\]"):
        load_model("timm:clbench_test_net", n_classes=4, shape=(3, 16, 16), weights=file)
    with pytest.raises(WeightsError, match=r"was trained on 3 classes, the data has 4"):
        load_model("timm:clbench_test_net", n_classes=4, shape=(3, 16, 16))


# labels that are no classes of the network


OWN = torch.rand(20, 1, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([*range(9), 255, *range(10)], "got 255 at example 9; leave out the 1 of 20 images"),
        ([-1, *range(10), *range(9)], "got -1 at example 0"),
        ([*range(1, 11), *range(1, 11)], "got 10 at example 9; they count from 1: subtract 1"),
        ([*range(20)], "got 10 at example 10; these labels want at least 20"),
    ],
)
def test_labels_outside_of_the_outputs_are_named(labels, message):
    def load():
        images = load_images((OWN, labels))
        return load_for(
            "simclr_at.digits", images, dataset=None, norm="Linf", device=torch.device("cpu")
        )

    with pytest.raises(DataError, match=rf"^labels of arrays must be from 0 to .*{message}"):
        load()
