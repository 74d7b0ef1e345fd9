import math

import pytest
import torch
from torch import nn

from clbench.evaluation.confirm import Attempt
from clbench.evaluation.state import CLEAN, ROBUST, Cascade
from clbench.runtime.hashing import fingerprint


@pytest.fixture
def images():
    return torch.rand(10, 1, 4, 4)


@pytest.fixture
def cascade(images):
    labels = torch.arange(10) % 3
    clean_pred = labels.clone()
    clean_pred[[2, 7]] = 9
    return Cascade.begin(images, labels, clean_pred, batch_size=3)


def attempt_on(examples, broken):
    images = torch.rand(len(examples), 1, 4, 4)
    return Attempt(images, examples + 50, torch.tensor(broken), frozenset({"seen"}))


def test_misclassified_images_are_never_attacked(cascade):
    assert cascade.todo.tolist() == [0, 1, 3, 4, 5, 6, 8, 9]
    assert cascade.broken_by[[2, 7]].tolist() == [CLEAN, CLEAN]
    assert cascade.n_batches == 3


def test_what_stands_is_regrouped_in_full_batches(cascade):
    while cascade.batch < cascade.n_batches:
        examples = cascade.next_examples()
        cascade.take(examples, attempt_on(examples, (examples % 2 == 0).tolist()))
    assert cascade.n_robust == 4
    cascade.finish_step()
    assert (cascade.step, cascade.batch, cascade.n_batches) == (1, 0, 2)
    assert cascade.next_examples().tolist() == [1, 3, 5]


def test_images_and_answers_are_kept_where_an_attack_broke(cascade, images):
    examples = cascade.next_examples()
    done = attempt_on(examples, [True, False, True])
    cascade.take(examples, done)
    assert torch.equal(cascade.adversarial[[0, 3]], done.adversarial[[0, 2]])
    assert torch.equal(cascade.adversarial[1], images[1])
    assert cascade.adv_pred[[0, 1, 3]].tolist() == [50, 1, 53]
    assert cascade.broken_by[[0, 1, 3]].tolist() == [0, ROBUST, 0]
    assert cascade.flags == {"seen"}


def test_bytes_bring_back_the_same_state(cascade, images):
    examples = cascade.next_examples()
    cascade.take(examples, attempt_on(examples, [True, False, True]))
    cascade.seconds, cascade.forward_passes = math.pi, 10**12
    again = Cascade.from_bytes(cascade.to_bytes("this run"), "this run", images)
    for name, value in vars(cascade).items():
        other = getattr(again, name)
        assert torch.equal(value, other) if isinstance(value, torch.Tensor) else value == other
    assert all(
        vars(again)[name].dtype == vars(cascade)[name].dtype for name in ("todo", "adv_pred")
    )


def test_bytes_of_another_run_bring_back_nothing(cascade, images):
    assert Cascade.from_bytes(cascade.to_bytes("this run"), "another run", images) is None


@pytest.mark.parametrize("cut", [0, 1, 100, 900, -1])
def test_damaged_bytes_bring_back_nothing(cascade, images, cut):
    data = cascade.to_bytes("this run")
    assert Cascade.from_bytes(data[:cut], "this run", images) is None


def test_bytes_that_are_no_progress_bring_back_nothing(images):
    assert Cascade.from_bytes(b"PK\x03\x04 no archive", "this run", images) is None


def test_the_fingerprint_tells_weights_and_settings_apart():
    one, two = nn.Linear(2, 2), nn.Linear(2, 2)
    two.load_state_dict(one.state_dict())
    assert fingerprint(one, 1, "a") == fingerprint(two, 1, "a")
    with torch.no_grad():
        two.weight[0, 0] += 1e-6
    signs = {fingerprint(one, 1, "a"), fingerprint(two, 1, "a"), fingerprint(one, 2, "a")}
    assert len(signs) == 3


def test_networks_in_any_precision_have_a_fingerprint():
    assert fingerprint(nn.BatchNorm1d(3).bfloat16()) != fingerprint(nn.BatchNorm1d(3))
