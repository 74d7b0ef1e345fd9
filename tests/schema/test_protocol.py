from fractions import Fraction

import pytest

from clbench.schema import protocol
from clbench.schema.errors import BadValueError, ClbenchError, UnknownNameError
from clbench.schema.protocol import DEFAULT_PROTOCOL, config_dir, find_protocol, protocols
from clbench.schema.threat_model import ThreatModel


@pytest.fixture
def written(tmp_path):
    def write(old="", new=""):
        file = tmp_path / "mine.toml"
        text = (config_dir() / "protocols" / "digits-linf.toml").read_text()
        file.write_text(text.replace(old, new, 1))
        return file

    return write


def test_every_protocol_of_the_design_is_there():
    assert set(protocols()) >= {
        *("digits-linf", "cifar10-linf", "cifar100-linf", "cifar10-l2", "cifar10-l1"),
        *("cifar10-paper", "cifar100-paper"),
    }
    assert DEFAULT_PROTOCOL in protocols()


@pytest.mark.parametrize(
    ("name", "norm", "eps"),
    [
        ("cifar10-linf", "Linf", "8/255"),
        ("cifar10-l2", "L2", "1/2"),
        ("cifar10-l1", "L1", "12"),
        ("cifar10-paper", "Linf", "4/255"),
    ],
)
def test_threat_models_are_robustbenchs_and_the_papers(name, norm, eps):
    assert find_protocol(name).threat_model == ThreatModel(norm, Fraction(eps))
    assert find_protocol(name).n_examples == 10_000


def test_an_unknown_protocol_is_met_with_the_nearest():
    with pytest.raises(
        UnknownNameError, match=r"^unknown protocol 'digits'; did you mean 'digits-linf'\?$"
    ):
        find_protocol("digits")


def test_a_missing_field_is_named(written):
    with pytest.raises(BadValueError, match=r"^mine.toml lacks seed$"):
        protocol._read(written("seed = 0", ""))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("= 360", '= "360"', r"^mine.toml.n_examples must be a whole number, got '360'$"),
        ('"1/6"', "0.1", r"^mine.toml.eps must be text in quotes, got 0.1$"),
        ('"Linf"', '"linf"', r"^unknown mine.toml.norm 'linf'; did you mean 'Linf'\?$"),
    ],
)
def test_a_value_of_another_type_is_named(written, old, new, message):
    with pytest.raises(ClbenchError, match=message):
        protocol._read(written(old, new))


def test_a_mistyped_field_is_named(written):
    with pytest.raises(
        UnknownNameError, match=r"^unknown field of mine.toml 'sed'; did you mean 'seed'\?$"
    ):
        protocol._read(written("seed = 0", "sed = 0"))


def test_a_protocol_of_ones_own_bears_the_name_of_its_file(written):
    found = find_protocol(str(written()))
    assert found.name == "mine.toml"
    assert found.threat_model == find_protocol("digits-linf").threat_model


def test_a_protocol_is_found_in_any_capitals():
    assert find_protocol("CIFAR10-Linf") is find_protocol("cifar10-linf")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("seed = 0", "", r"^mine.toml lacks seed$"),
        ("seed = 0", "seed = -1", r"^--seed must be a whole number from 0 to 4294967295, got -1$"),
        ("seed = 0", "seed = 4294967296", r"^--seed must be a whole number from 0"),
        ("seed = 0", f"seed = {10**400}", r"whole number"),
        ("= 360", "= 0", r"^--n-examples must be a whole number from 1 up, got 0$"),
        ("= 360", "= true", r"n_examples must be a whole number, got True"),
        ('"1/6"', '"1/0"', r"^eps must read like"),
        ('"1/6"', '"7"', r"^Linf eps must be at most 1"),
        ('"Linf"', '"L0"', r"^unknown mine.toml.norm 'L0'"),
        ("seed = 0", "seed = ", r"^protocol .*mine.toml is no TOML: TOMLDecodeError"),
        ("seed = 0", "seed = 0\nseed = 1", r"is no TOML"),
        ("seed = 0", "[" * 5000, r"is no TOML"),
    ],
)
def test_a_protocol_of_ones_own_is_checked_like_ours(written, old, new, message):
    with pytest.raises(ClbenchError, match=message):
        find_protocol(str(written(old, new)))


@pytest.mark.parametrize("content", [b"\xff\xfe", b"\x00", bytes(range(256))])
def test_a_file_that_is_no_protocol_is_named(tmp_path, content):
    (tmp_path / "mine.toml").write_bytes(content)
    with pytest.raises(BadValueError, match=r"mine.toml is no TOML"):
        find_protocol(str(tmp_path / "mine.toml"))


def test_a_folder_is_no_protocol(tmp_path):
    (tmp_path / "a.toml").mkdir()
    with pytest.raises(BadValueError, match="cannot be read: Is a directory"):
        find_protocol(str(tmp_path / "a.toml"))
