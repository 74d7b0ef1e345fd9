"""Of networks that return several things, the logits are named, or refused with what there is."""

import json
from collections import OrderedDict, namedtuple
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

import clbench
from clbench.models.output import entry, find_output, read_output
from clbench.models.validate import validate_network
from clbench.schema.errors import BadValueError, ModelError
from clbench.schema.record_files import record_files
from tests.models.strange import plain

CLASSES, SOME = 4, 20

Pair = namedtuple("Pair", ["features", "scores"])


@dataclass
class Answer:
    scores: torch.Tensor
    features: torch.Tensor


class ModelOutput(OrderedDict):
    """As Hugging Face has it: a dictionary that can be indexed, too."""

    def __getitem__(self, key):
        return list(self.values())[key] if isinstance(key, int) else super().__getitem__(key)


class Returning(nn.Module):
    """A network that returns more than its logits."""

    def __init__(self, made):
        super().__init__()
        self.inner, self.made = plain(), made

    def forward(self, x):
        return self.made(self.inner(x), x.flatten(1))


SEVERAL = {
    "tuple, first": (lambda z, f: (z, f), "0"),
    "tuple, last": (lambda z, f: (f, z), "-1"),
    "tuple, an index as a number": (lambda z, f: (f, z), 1),
    "list": (lambda z, f: [f, z], "1"),
    "three of which one is nothing": (lambda z, f: (None, f, z), "2"),
    "dictionary": (lambda z, f: {"features": f, "scores": z}, "scores"),
    "dictionary with numbers": (lambda z, f: {7: f, 9: z}, "9"),
    "name with a dot": (lambda z, f: {"head.scores": z, "f": f}, "head.scores"),
    "named tuple, by name": (lambda z, f: Pair(f, z), "scores"),
    "named tuple, by index": (lambda z, f: Pair(f, z), "1"),
    "data class": (Answer, "scores"),
    "namespace": (lambda z, f: SimpleNamespace(scores=z, features=f), "scores"),
    "tuple in a tuple": (lambda z, f: (f, (f, z)), "1.1"),
    "tuple in a dictionary": (lambda z, f: {"f": f, "heads": [z, z + 1]}, "heads.0"),
    "dictionary in a tuple": (lambda z, f: (f, {"scores": z}), "1.scores"),
    "logits beside others as wide": (lambda z, f: {"logits": f[:, :4], "teacher": z}, "teacher"),
    "Hugging Face with features": (
        lambda z, f: ModelOutput(logits=z, hidden_states=(f, f)),
        "logits",
    ),
    "Hugging Face with a loss": (lambda z, f: ModelOutput(loss=f.mean(), logits=z), "logits"),
    "Hugging Face, nested": (lambda z, f: ModelOutput(a=f, out=ModelOutput(b=z)), "out.b"),
}

SAYS_ITSELF = {
    "dictionary": (lambda z, f: {"features": f, "logits": z}, "logits"),
    "Hugging Face": (lambda z, f: ModelOutput(loss=None, logits=z, hidden_states=(f,)), "logits"),
    "logits only": (lambda z, _: {"logits": z}, "logits"),
    "another name alone": (lambda z, _: {"out": z}, "out"),
    "tuple of one": (lambda z, _: (z,), "0"),
    "within a tuple": (lambda z, f: (f, {"logits": z}), "1.logits"),
}


def images():
    return torch.rand(SOME, 1, 8, 8, generator=torch.Generator().manual_seed(3))


def labels():
    with torch.no_grad():
        return plain()(images()).argmax(1)


ATTACK = {"eps": "3/100", "attack": "pgd,steps=3"}


def evaluated(network, **given):
    return clbench.evaluate(network, data=(images(), labels()), **ATTACK, **given).record


@pytest.fixture(scope="module")
def wanted():
    """The measures of the network that returns its logits alone."""
    found = evaluated(plain())
    assert 0 < found.measure("robust_acc").value < 1
    return {one.name: (one.value, one.low, one.high) for one in found.measures}


def measures_of(record):
    return {one.name: (one.value, one.low, one.high) for one in record.measures}


@pytest.mark.parametrize("name", SEVERAL)
def test_what_is_named_is_what_is_evaluated(name, wanted):
    made, output = SEVERAL[name]
    record = evaluated(Returning(made), output=output)
    np.testing.assert_allclose(
        list(measures_of(record).values()), list(wanted.values()), rtol=0, atol=1e-9
    )
    assert record.model.output == str(output)
    assert record.flags == ()


@pytest.mark.parametrize("name", SAYS_ITSELF)
def test_what_says_itself_that_it_is_the_logits_is_taken_and_told(name, wanted, caplog):
    made, output = SAYS_ITSELF[name]
    record = evaluated(Returning(made))
    np.testing.assert_allclose(
        list(measures_of(record).values()), list(wanted.values()), rtol=0, atol=1e-9
    )
    assert record.model.output == output
    assert f"taken is --output {output}" in caplog.text


UNCLEAR = {
    "tuple": (lambda z, f: (z, f), "0 [16, 4], 1 [16, 64]; say which they are, such as --output 0"),
    "features first": (lambda z, f: (f[:, :2], z), "such as --output 1"),
    "two heads": (lambda z, _: {"a": z, "b": z}, "a [16, 4], b [16, 4]; say which"),
    "logits of two heads": (
        lambda z, _: {"a": {"logits": z}, "b": {"logits": z}},
        "a.logits [16, 4], b.logits [16, 4]",
    ),
    "many": (lambda z, _: (z,) * 30, "7 [16, 4], 22 more; say which"),
    "logits of another shape": (
        lambda z, f: {"logits": z[:, :, None], "f": f},
        "logits [16, 4, 1], f [16, 64]; none of these is [n, 4]",
    ),
    "nothing": (lambda _z, _f: None, "must return logits, a tensor [n, 4], got None"),
    "words": (lambda _z, _f: "cat", "must return logits, a tensor [n, 4], got a str"),
    "an empty dictionary": (lambda _z, _f: {}, "got a dict"),
    "numbers": (lambda z, _f: z.tolist(), "got a list"),
}


@pytest.mark.parametrize("name", UNCLEAR)
def test_what_may_be_several_things_is_refused_with_what_there_is(name):
    made, says = UNCLEAR[name]
    with pytest.raises(ModelError) as caught:
        validate_network(Returning(made), images()[:16], CLASSES)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


NOT_THERE = {
    "of a tensor": (lambda z, _: z, "0", "returns one tensor [16, 4], got --output '0'; leave it"),
    "no such name": (lambda z, f: {"a": z, "b": f}, "c", "a [16, 4], b [16, 64], got --output 'c'"),
    "no such index": (lambda z, f: (z, f), "2", "0 [16, 4], 1 [16, 64], got --output '2'"),
    "before the first": (lambda z, f: (z, f), "-3", "got --output '-3'; name one of these"),
    "the name of no entry": (lambda z, f: (z, f), "logits", "got --output 'logits'; name one"),
    "not a tensor": (lambda z, f: (z, (f, z)), "1", "must be one tensor, got '1', a tuple with 0"),
    "nothing there": (lambda z, _: (z, None), "1", "got --output '1'; name one of these"),
    "of another width": (lambda z, f: (z, f), "1", "must return logits [16, 4], got [16, 64]"),
    "features, of images": (lambda z, f: (z, f[0]), "1", "must return logits [16, 4], got [64]"),
}


@pytest.mark.parametrize("name", NOT_THERE)
def test_an_entry_that_is_not_there_is_refused_with_what_there_is(name):
    made, output, says = NOT_THERE[name]
    with pytest.raises(ModelError) as caught:
        validate_network(Returning(made), images()[:16], CLASSES, output=output)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("given", ["", "  ", True, 1.5, ["logits"]])
def test_what_is_neither_a_name_nor_an_index_is_refused(given):
    with pytest.raises(BadValueError, match="--output must be the name or the index of an entry"):
        read_output(given)


def test_an_answer_that_is_a_tensor_is_its_own_logits():
    answer = torch.zeros(3, CLASSES)
    assert find_output(answer, "", CLASSES, or_more=False) == ""
    assert entry(answer, "") is answer


class FixedAndSeveral(nn.Module):
    """Takes five images at a time, squeezes a single one, and returns a dictionary."""

    def __init__(self):
        super().__init__()
        self.inner = plain()

    def forward(self, x):
        return {"f": x, "z": self.inner(x.reshape(5, 1, 8, 8))}


class SqueezedAndSeveral(Returning):
    def forward(self, x):
        return x, self.inner(x).squeeze()


@pytest.mark.parametrize(
    ("network", "output"), [(FixedAndSeveral(), "z"), (SqueezedAndSeveral(None), "1")]
)
def test_networks_that_need_more_than_images_can_return_several_things_too(network, output):
    found = validate_network(network, images()[:16], CLASSES, output=output)
    assert found.flags == ()
    with torch.no_grad():
        for n in (1, 3, 16):
            assert torch.allclose(found.network(images()[:n]), plain()(images()[:n]), atol=1e-6)


NET = """
import torch
from torch import nn
from tests.models.strange import plain

class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = plain()

    def forward(self, x):
        return {"features": x.flatten(1), "scores": self.inner(x), "more": 1 - self.inner(x)}
"""


@pytest.fixture
def there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(NET)
    np.savez("d.npz", x=images().permute(0, 2, 3, 1).numpy(), y=labels().numpy())
    return tmp_path


def test_a_record_tells_it_and_verify_asks_with_it(there):
    given = {"data": "d.npz", **ATTACK, "probe": False, "out": "out"}
    one, other = (
        clbench.evaluate("net.py:Two", output=output, **given).record
        for output in ("scores", "more")
    )
    assert one.run.hash != other.run.hash
    assert one.model.source.startswith("output 'scores' of ")
    assert one.model.weights_sha256 == other.model.weights_sha256
    files = record_files(there / "out")
    assert len(files) == 2
    for path in files:
        assert clbench.verify(path, level=2, model="net.py:Two", data="d.npz").problems == ()
    path = next(one for one in files if json.loads(one.read_text())["model"]["output"] == "scores")
    found = clbench.verify(path, level=2, model="net.py:Two", data="d.npz", output="more")
    assert {one.field for one in found.problems} >= {"model.output", "model.source"}


def test_a_network_in_memory_that_is_verified_is_asked_with_it_too(there):
    made, output = SEVERAL["dictionary"]
    clbench.evaluate(Returning(made), data="d.npz", **ATTACK, output=output, probe=False, out="out")
    (path,) = record_files(there / "out")
    assert clbench.verify(path, level=2, model=Returning(made), data="d.npz").problems == ()


def test_plan_layers_and_probe_take_it(there):
    assert clbench.plan("net.py:Two", data="d.npz", output="scores", **ATTACK).most
    rows = clbench.list_layers("net.py:Two", data="d.npz", output="scores")
    assert {row.layer: row.features for row in rows}["logits"] == (CLASSES,)
    given = {"data": "d.npz", "eps": "3/100", "comparisons": ["clean-clean"], "layers": ["logits"]}
    several = clbench.probe(["two=net.py:Two"], output=["scores"], **given)
    alone = clbench.probe({"two": plain()}, **given)
    both = [one.find("clean-clean", "two").values for one in (several, alone)]
    np.testing.assert_allclose(*both)


def test_of_several_models_each_has_its_own(there):
    given = {"data": "d.npz", "eps": "3/100", "comparisons": ["cross-clean"], "layers": ["logits"]}
    models = ["one=net.py:Two", "two=net.py:Two"]
    same = clbench.probe(models, output=["one=scores", "two=scores"], **given)
    assert same.find("cross-clean", "one", "two").values[0, 0] == pytest.approx(1)
    with pytest.raises(BadValueError, match="--output must read like NAME=ENTRY where there are"):
        clbench.probe(models, output=["scores"], **given)
