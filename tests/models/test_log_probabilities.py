"""Log-probabilities are recognised and said, and change no verdict; probabilities bear a flag."""

import numpy as np
import pytest
import torch

import clbench
from clbench.models.validate import validate_network
from clbench.schema.record_files import record_files
from clbench.schema.records import LOG_PROBABILITIES
from tests.models.strange import Around, plain

IMAGES = torch.rand(20, 1, 8, 8, generator=torch.Generator().manual_seed(3))

ARE = {
    "log-softmax": lambda z: z.log_softmax(1),
    "of sharp predictions": lambda z: (50 * z).log_softmax(1),
    "of flat predictions": lambda z: (1e-3 * z).log_softmax(1),
    "logarithm of a softmax": lambda z: z.softmax(1).log(),
    "in double precision": lambda z: z.double().log_softmax(1),
    "in half precision": lambda z: z.log_softmax(1).half(),
    "a mixture of two": lambda z: (z.softmax(1) / 2 + (2 * z).softmax(1) / 2).log(),
}

ARE_NOT = {
    "logits": lambda z: z,
    "negative logits": lambda z: z - 5,
    "probabilities": lambda z: z.softmax(1),
    "log-sigmoids": torch.nn.functional.logsigmoid,
    "another base": lambda z: z.log_softmax(1) / np.log(2),
    "another temperature": lambda z: 2 * z.log_softmax(1),
    "negated": lambda z: -z.log_softmax(1),
    "nearly": lambda z: z.log_softmax(1) + 0.01,
    "one class": lambda z: z[:, :1].log_softmax(1),
}


@pytest.mark.parametrize("name", ARE)
def test_they_are_recognised(name):
    assert validate_network(Around(after=ARE[name]), IMAGES[:16], 4).log_probabilities


@pytest.mark.parametrize("name", ARE_NOT)
def test_others_are_not_taken_for_them(name):
    n_classes = 1 if name == "one class" else 4
    found = validate_network(Around(after=ARE_NOT[name]), IMAGES[:16], n_classes)
    assert not found.log_probabilities


def evaluated(network, attack, **given):
    labels = plain()(IMAGES).argmax(1)
    return clbench.evaluate(network, data=(IMAGES, labels), eps="3/100", attack=attack, **given)


@pytest.mark.parametrize("attack", ["apgd-ce,n_iter=5", "apgd-dlr,n_iter=5", "pgd,steps=5"])
@pytest.mark.parametrize("name", ["log-softmax", "in double precision", "logarithm of a softmax"])
def test_verdicts_are_those_of_the_logits(name, attack):
    one = evaluated(Around(after=ARE[name]), attack, probe=False)
    other = evaluated(plain(), attack, probe=False)
    assert list(one.examples.broken_by) == list(other.examples.broken_by)
    assert one.record.flags == ()
    assert (one.record.model.answers, other.record.model.answers) == (LOG_PROBABILITIES, None)


def test_probabilities_bear_a_flag():
    record = evaluated(Around(after=ARE_NOT["probabilities"]), "pgd,steps=2", probe=False).record
    assert "softmax_output" in record.flag_names
    assert record.unreliable


def test_it_is_said_and_no_part_of_what_tells_runs_apart(tmp_path, caplog):
    caplog.set_level("INFO")
    network = Around(after=ARE["log-softmax"])
    evaluated(network, "pgd,steps=2", probe=False, out=tmp_path)
    assert "Around returns log-probabilities" in caplog.text
    (path,) = record_files(tmp_path)
    labels = plain()(IMAGES).argmax(1)
    found = clbench.verify(path, level=2, model=network, data=(IMAGES, labels))
    assert found.problems == ()
