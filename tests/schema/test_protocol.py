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
        *("digits-linf", "cifar10-linf", "cifar100-linf", "cifar10-l2"),
        *("cifar10-paper", "cifar100-paper"),
    }
    assert DEFAULT_PROTOCOL in protocols()


@pytest.mark.parametrize(
    ("name", "norm", "eps"),
    [
        ("cifar10-linf", "Linf", "8/255"),
        ("cifar10-l2", "L2", "1/2"),
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
