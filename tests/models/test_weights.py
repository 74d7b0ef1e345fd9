import shutil

import pytest
import safetensors.torch
import torch
from torch import nn

from clbench.models import ModelSpec, WeightsRow, load_weights, read_weights, save_weights
from clbench.models.weights import availability, cache_dir, locate, read_about
from clbench.runtime.hashing import state_sha256
from clbench.schema.errors import StorageError, WeightsError
from clbench.schema.files import sha256_of_file


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """Keep downloads of tests out of the user's own cache."""
    monkeypatch.setenv("CLBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def make_spec():
    """Return a factory of zoo rows with weights elsewhere."""

    def make(file="elsewhere.safetensors", sha256="0" * 64, url=""):
        row = WeightsRow(file, sha256, url)
        return ModelSpec("simclr", "at", "digits", "resnet18_w16", row)

    return make


def equal_states(one, other):
    return all(torch.equal(value, other[key]) for key, value in one.items())


def test_weights_survive_a_round_trip(make_network, tmp_path):
    saved, loaded = make_network(seed=1), make_network(seed=2)
    save_weights(saved, tmp_path / "deep" / "net.safetensors", half=False)
    sha256 = load_weights(loaded, tmp_path / "deep" / "net.safetensors")
    assert equal_states(saved.state_dict(), loaded.state_dict())
    assert sha256 == sha256_of_file(tmp_path / "deep" / "net.safetensors")


def test_half_precision_halves_the_file(make_network, make_weights):
    whole, half = make_weights("whole.safetensors"), make_weights("half.safetensors", half=True)
    assert half.stat().st_size < 0.52 * whole.stat().st_size
    assert half.stat().st_size < 1_500_000
    loaded = make_network(seed=2)
    load_weights(loaded, half)
    assert loaded.conv1.weight.dtype == torch.float32
    assert torch.equal(loaded.conv1.weight, make_network().conv1.weight.half().float())


def test_integers_and_values_too_large_for_half_precision_stay(tmp_path):
    state = {"count": torch.tensor(3), "big": torch.tensor([1e6]), "small": torch.tensor([0.5])}
    save_weights(state, tmp_path / "x.safetensors")
    read = read_weights(tmp_path / "x.safetensors")
    assert equal_states(state, read)
    assert [read[key].dtype for key in state] == [torch.int64, torch.float32, torch.float16]


def test_shared_weights_are_saved(tmp_path):
    network = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False))
    network[1].weight = network[0].weight
    save_weights(network, tmp_path / "x.safetensors", half=False)
    other = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False))
    load_weights(other, tmp_path / "x.safetensors")
    assert equal_states(other.state_dict(), network.state_dict())


def test_failed_save_leaves_the_old_file(make_network, make_weights, monkeypatch):
    file = make_weights()
    before = file.read_bytes()

    def full(self, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", full)
    with pytest.raises(StorageError, match=rf"^cannot write {file}: No space left on device; "):
        save_weights(make_network(seed=3), file)
    assert file.read_bytes() == before
    assert list(file.parent.glob(".*")) == []


def test_weights_tell_what_was_said_of_them(make_network, tmp_path):
    file = tmp_path / "x.safetensors"
    save_weights(make_network(), file, about={"backbone": "resnet10_w16", "of": "a test"})
    assert read_about(file) == {"backbone": "resnet10_w16", "of": "a test"}
    assert load_weights(make_network(seed=2), file) == sha256_of_file(file)


def test_the_same_weights_give_the_same_bytes_in_any_process(make_network, tmp_path):
    about = {name: f"value of {name}" for name in "hgfedcba"}
    for name, rows in (("one", about), ("other", dict(reversed(about.items())))):
        save_weights(make_network(), tmp_path / name, about=rows)
    one = (tmp_path / "one").read_bytes()
    assert one == (tmp_path / "other").read_bytes()
    assert [one.index(f'"{name}"'.encode()) for name in "abcdefgh"] == sorted(
        one.index(f'"{name}"'.encode()) for name in "abcdefgh"
    )
    assert read_about(tmp_path / "one") == about


def test_weights_of_which_nothing_was_said_tell_nothing(make_weights):
    assert read_about(make_weights()) == {}


@pytest.mark.parametrize("content", [b"", b"half", b"\x80\x02 a pickle", None])
def test_what_is_no_weights_file_tells_nothing(tmp_path, content):
    file = tmp_path / "x.safetensors"
    if content is not None:
        file.write_bytes(content)
    assert read_about(file) == {}


def test_missing_file_is_named(tmp_path):
    with pytest.raises(WeightsError, match=r"^weights .*/no cannot be read: No such file or dir"):
        read_weights(tmp_path / "no")


def test_folder_is_no_weights_file(tmp_path):
    with pytest.raises(WeightsError, match=r"^weights .* cannot be read: Is a directory$"):
        read_weights(tmp_path)


@pytest.mark.parametrize("kept", [0, 4, 500, 10_000, -1])
def test_cut_off_file_is_refused(make_weights, kept):
    file = make_weights()
    file.write_bytes(file.read_bytes()[:kept])
    message = (
        r"^weights .*net.safetensors are cut off or neither a safetensors file nor .*; copy them"
    )
    with pytest.raises(WeightsError, match=message):
        read_weights(file)


@pytest.mark.parametrize("length", [0x280, 0x380, 0x480, 0x580])
def test_header_whose_length_looks_like_a_pickle_is_read(tmp_path, length):
    padding = {"x": " "}
    data = safetensors.torch.save({"w": torch.ones(1)}, metadata=padding)
    padding["x"] += " " * (length - int.from_bytes(data[:8], "little"))
    data = safetensors.torch.save({"w": torch.ones(1)}, metadata=padding)
    assert data[:2] == bytes([0x80, length >> 8])
    (tmp_path / "x.safetensors").write_bytes(data)
    assert torch.equal(read_weights(tmp_path / "x.safetensors")["w"], torch.ones(1))


def test_other_shape_is_refused_and_nothing_is_changed(make_network, make_weights):
    network = make_network(seed=2)
    message = r"are of another network: 'fc.bias' is \[7\], the network's is \[10\]$"
    with pytest.raises(WeightsError, match=message):
        load_weights(network, make_weights(num_classes=7))
    assert equal_states(network.state_dict(), make_network(seed=2).state_dict())


def test_missing_and_unknown_names_are_named_briefly(make_network, tmp_path):
    state = make_network().state_dict()
    del state["bn1.weight"], state["bn1.bias"]
    save_weights(state | {"head.weight": torch.ones(1)}, tmp_path / "x.safetensors")
    message = (
        "x.safetensors are of another network: it lacks 'bn1.bias' and 1 more; "
        "it has 'head.weight', which the network has not$"
    )
    with pytest.raises(WeightsError, match=message):
        load_weights(make_network(), tmp_path / "x.safetensors")


def test_state_hash_tells_networks_apart(make_network):
    assert state_sha256(make_network(seed=1)) == state_sha256(make_network(seed=1))
    assert state_sha256(make_network(seed=1)) != state_sha256(make_network(seed=2))
    assert state_sha256(nn.Linear(2, 2).bfloat16()) != state_sha256(nn.Linear(2, 2))


def test_cache_is_in_the_home_folder_unless_told_otherwise(monkeypatch, tmp_path, cache):
    assert cache_dir() == cache
    monkeypatch.delenv("CLBENCH_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_dir() == tmp_path / ".cache" / "clbench"


def test_weights_are_found_in_the_cache(make_weights, make_spec, cache):
    file = make_weights()
    cache.mkdir()
    shutil.copy(file, cache)
    spec = make_spec(file.name, sha256_of_file(file))
    assert availability(spec) == "cache"
    assert locate(spec) == cache / file.name


def test_weights_are_fetched_once_into_the_cache(make_weights, make_spec, cache):
    file = make_weights()
    spec = make_spec("fetched.safetensors", sha256_of_file(file), file.as_uri())
    assert availability(spec) == "url"
    assert locate(spec).read_bytes() == file.read_bytes()
    file.unlink()
    assert locate(spec) == cache / "fetched.safetensors"


def test_fetched_file_with_another_sum_is_not_kept(make_weights, make_spec, cache):
    file = make_weights()
    spec = make_spec(sha256="ab" * 32, url=file.as_uri())
    message = (
        rf"^weights of 'simclr_at.digits': {file.as_uri()} holds another file than the one of "
        r"sha256 abababababab; give a file with --weights$"
    )
    with pytest.raises(WeightsError, match=message):
        locate(spec)
    assert list(cache.iterdir()) == []


def test_failed_fetch_says_what_to_do(make_spec, tmp_path):
    spec = make_spec(url=(tmp_path / "gone.safetensors").as_uri())
    message = (
        r"^weights of 'simclr_at.digits' cannot be fetched from file:.*: .*No such file.*; "
        "fetch gone.safetensors by hand and give it with --weights$"
    )
    with pytest.raises(WeightsError, match=message):
        locate(spec)


def test_damaged_file_in_the_cache_is_named(make_spec, cache):
    cache.mkdir()
    (cache / "elsewhere.safetensors").write_bytes(b"half")
    message = (
        r"^weights of 'simclr_at.digits': sha256 is \w{12}, expected 000000000000; "
        rf"move {cache}/elsewhere.safetensors away and try again$"
    )
    with pytest.raises(WeightsError, match=message):
        locate(make_spec())


def test_row_without_weights_has_them_nowhere():
    assert availability(ModelSpec("simclr", "at", "cifar10", "resnet18")) == ""


def test_missing_packaged_file_says_so(make_spec):
    message = "^weights of 'simclr_at.digits' are missing at .*; install clbench again$"
    with pytest.raises(WeightsError, match=message):
        locate(make_spec())
    assert availability(make_spec()) == ""


def test_cache_that_cannot_be_written_is_named(make_weights, make_spec, tmp_path, monkeypatch):
    file = make_weights()
    monkeypatch.setenv("CLBENCH_CACHE", str(file / "cache"))
    spec = make_spec(sha256=sha256_of_file(file), url=file.as_uri())
    with pytest.raises(StorageError, match=rf"^cannot make {file}/cache: Not a directory; set CLB"):
        locate(spec)
