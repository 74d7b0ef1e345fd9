"""A checkpoint is of one dialect: by what there is in it, and never by what is missing."""

import re
from pathlib import Path

import pytest
import torch

from clbench.models.checkpoints.dialects import DIALECTS
from clbench.models.checkpoints.read import TORCH, Checkpoint
from clbench.models.checkpoints.recognise import recognise, trained_on
from clbench.models.checkpoints.stand_ins import StandIn
from clbench.schema.errors import WeightsError
from tests.models.dialect_files import FACTS, facts

FILES = sorted(file.stem for file in FACTS.glob("*.json"))


def checkpoint(name, beside=()):
    """Return a checkpoint of recorded names and shapes, which takes no memory."""
    whole = {}
    for table, names in facts(name)["tables"].items():
        place = whole
        for key in filter(None, table.split(".")):
            place = place.setdefault(key, {})
        place.update((key, torch.zeros(()).expand(shape)) for key, shape in names.items())
    whole |= {key: 3 for key in beside if key not in whole}
    return Checkpoint(Path("c.pth"), TORCH, "0" * 64, whole)


@pytest.mark.parametrize("name", FILES)
def test_every_file_is_of_one_dialect(name):
    known = facts(name)
    found = recognise(checkpoint(name, known["beside"]))
    assert found.dialect.name == known["dialect"]
    assert "it has '" in found.evidence


@pytest.mark.parametrize("name", FILES)
def test_the_dialect_that_is_asked_for_is_the_one(name):
    known = facts(name)
    found = recognise(checkpoint(name, known["beside"]), known["dialect"])
    assert found.dialect.name == known["dialect"]


ALIKE = {
    "acl": "dynacl",
    "dynacl-aff": "dynacl",
    "fast-adversarial-imagenet": "torchvision",
}
"""What a file is taken for without what stands beside its weights, where that is another dialect of
the same function and normalisation."""


@pytest.mark.parametrize("name", FILES)
def test_weights_alone_are_never_taken_for_another_function(name):
    row = DIALECTS[facts(name)["dialect"]]
    if set(row.keys) - set(checkpoint(name).content) and name not in ALIKE:
        with pytest.raises(WeightsError, match="in no dialect"):
            recognise(checkpoint(name))
        return
    found = recognise(checkpoint(name)).dialect
    assert found.name == ALIKE.get(name, row.name)
    assert found.inside == row.inside
    assert found.outside[:1] == row.outside[:1] or {found.name, row.name} == {"torchvision", name}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("other", ["moco", "trades", "rocl", "deacl"])
def test_a_file_is_not_of_a_dialect_that_it_is_not_in(name, other):
    if facts(name)["dialect"] == other:
        return
    with pytest.raises(WeightsError, match="is not in the dialect"):
        recognise(checkpoint(name, facts(name)["beside"]), other)


def stand_in(**attributes):
    one = StandIn()
    one.__setstate__(attributes)
    return one


TOLD = {
    "a table": {"data": {"dataset": "cifar10"}},
    "an older table": {"dataset": "CIFAR-10"},
    "argparse": stand_in(dataset="cifar10"),
    "OmegaConf": stand_in(
        _content={"data": stand_in(_content={"dataset": stand_in(_val="cifar10")})}
    ),
    "a table of OmegaConf": {"data": stand_in(_content={"dataset": stand_in(_val="cifar10")})},
}


@pytest.mark.parametrize("case", TOLD)
def test_the_data_set_is_read_wherever_it_is_told(case):
    found = checkpoint("solo-learn", facts("solo-learn")["beside"])
    found.content["hyper_parameters"] = TOLD[case]
    assert trained_on(recognise(found), found.content) == "cifar10"


@pytest.mark.parametrize("parameters", [3, None, {}, {"data": 4}, stand_in(), {"dataset": [1]}])
def test_where_no_data_set_is_told_there_is_none(parameters):
    found = checkpoint("solo-learn", facts("solo-learn")["beside"])
    found.content["hyper_parameters"] = parameters
    assert trained_on(recognise(found), found.content) == ""


@pytest.mark.parametrize("name", FILES)
def test_two_networks_in_one_table_are_refused_or_one_is_left_over(name):
    """A second network beside the first is never dropped without a word."""
    known = facts(name)
    found = checkpoint(name, known["beside"])
    table = found.content
    for key in filter(None, recognise(found).table.split(".")):
        table = table[key]
    table["another.conv1.weight"] = torch.zeros(())
    recognised = recognise(found)
    assert "another.conv1.weight" in recognised.weights
    drops = recognised.dialect.drops
    assert not any(re.match(one.names, "another.conv1.weight") for one in drops)
