"""The classic AutoAttack: pyautoattack's results, and none of the classic's side effects."""

import sys

import pyautoattack
import pytest
import torch
from torch import nn

from clbench.interop.autoattack_class import AutoAttack
from clbench.schema.errors import BadValueError, UnknownNameError

EPS = {"Linf": 0.03, "L2": 0.15}


def shortened(adversary):
    for runner in (adversary.apgd, adversary.apgd_targeted, adversary.fab):
        runner.n_iter = 4
    adversary.square.n_queries = 20
    return adversary


@pytest.fixture
def build(network):
    def make(**changes):
        options = {"norm": "Linf", "eps": EPS["Linf"], "seed": 0, "verbose": False, "device": "cpu"}
        return shortened(AutoAttack(network, **(options | changes)))

    return make


@pytest.mark.parametrize(
    ("version", "norm"),
    [("standard", "Linf"), ("standard", "L2"), ("plus", "Linf"), ("rand", "Linf")],
)
def test_results_are_those_of_pyautoattack_to_the_last_bit(
    norm, version, build, network, images, labels
):
    ours = build(norm=norm, eps=EPS[norm], version=version)
    theirs = shortened(
        pyautoattack.AutoAttack(network, norm=norm, eps=EPS[norm], seed=0, version=version)
    )
    found = ours.run_standard_evaluation(images, labels, bs=5, return_labels=True)
    trace = sys.gettrace()
    expected = theirs.run_standard_evaluation(images, labels, batch_size=5)
    sys.settrace(trace)  # it takes the trace function away, and with it the coverage of all tests
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))
    assert 0 < (found[1] == labels).sum() < 11, "some images break and some do not"


def test_attacks_and_their_parameters_may_be_set_after_construction(build, images, labels, capsys):
    adversary = build(version="custom", verbose=True)
    adversary.attacks_to_run = ["apgd-ce", "fab"]
    adversary.apgd.n_restarts = 1
    adversary.fab.n_restarts = 1
    adversary.run_standard_evaluation(images, labels)
    said = capsys.readouterr().out
    assert "robust accuracy after FAB" in said
    assert "SQUARE" not in said


def test_without_labels_only_images_come_back(build, images, labels):
    found = build().run_standard_evaluation(images, labels)
    assert found.shape == images.shape


def test_images_that_no_attack_broke_come_back_as_they_were(build, images, labels):
    found, predicted = build().run_standard_evaluation(images, labels, return_labels=True)
    kept = (predicted == labels) | (torch.arange(12) == 0)
    assert torch.equal(found[kept], images[kept])
    assert not (found[~kept] == images[~kept]).flatten(1).all(1).any()


def test_what_is_said_goes_to_stdout_and_to_the_log(build, images, labels, capsys, tmp_path):
    log = tmp_path / "log.txt"
    log.write_text("an earlier line\n")
    build(verbose=True, log_path=log).run_standard_evaluation(images, labels, bs=8)
    said = capsys.readouterr().out
    assert log.read_text() == f"an earlier line\n{said}"
    assert said.startswith("initial accuracy: 91.67%\napgd-ce - 1/2 - ")
    assert "max Linf perturbation: 0.03000, nan in tensor: 0" in said


def test_nothing_is_said_when_not_verbose(build, images, labels, capsys):
    build().run_standard_evaluation(images, labels)
    assert capsys.readouterr().out == ""


def test_each_attack_alone_leaves_the_object_as_it_was(build, images, labels, capsys):
    adversary = build(verbose=True)
    attacks = list(adversary.attacks_to_run)
    found = adversary.run_standard_evaluation_individual(images, labels)
    assert list(found) == attacks == adversary.attacks_to_run
    assert adversary.verbose
    assert "robust accuracy by SQUARE" in capsys.readouterr().out


def test_each_attack_alone_can_return_labels(build, images, labels):
    adversary = build(version="custom", attacks_to_run=["apgd-ce"])
    found, predicted = adversary.run_standard_evaluation_individual(
        images, labels, return_labels=True
    )["apgd-ce"]
    assert torch.equal(adversary.get_logits(found).argmax(1), predicted)


def test_clean_accuracy_is_the_share_of_right_answers(build, images, labels):
    assert build().clean_accuracy(images, labels, bs=5) == pytest.approx(11 / 12)


def test_attacks_stop_when_nothing_is_left_to_break(build, images, labels, capsys):
    build(eps=0.9, verbose=True).run_standard_evaluation(images, labels)
    said = capsys.readouterr().out
    assert "robust accuracy: 0.00%" in said
    assert "SQUARE" not in said


def test_a_single_image_may_be_attacked(build, images, labels):
    assert build().run_standard_evaluation(images[1:2], labels[1:2]).shape == (1, 3, 8, 8)


def test_no_seed_means_the_time(build):
    assert build(seed=None).get_seed() > 1e9


def test_random_state_and_trace_function_are_left_as_found(build, images, labels):
    before, trace = torch.random.get_rng_state(), sys.gettrace()
    build().run_standard_evaluation(images, labels)
    assert torch.equal(before, torch.random.get_rng_state())
    assert sys.gettrace() is trace


class Dynamic(nn.Module):
    """Computes a gradient while it predicts."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x):
        with torch.enable_grad():
            probe = x.detach().requires_grad_()
            torch.autograd.grad(self.network(probe).sum(), probe)
        return self.network(x)


def test_a_dynamic_model_does_not_brand_those_after_it(network, images, labels, capsys):
    options = {"version": "custom", "attacks_to_run": ["apgd-ce"], "device": "cpu", "seed": 0}
    for model, branded in ((network, False), (Dynamic(network), True), (network, False)):
        adversary = shortened(AutoAttack(model, verbose=False, **options))
        adversary.run_standard_evaluation(images, labels)
        assert ("dynamic defense" in capsys.readouterr().out) is branded


def test_attacks_are_refused_for_a_version_that_has_its_own(network):
    with pytest.raises(BadValueError, match="needs version 'custom', got 'standard'"):
        AutoAttack(network, attacks_to_run=["square"], device="cpu")


def test_an_unknown_attack_is_refused(build, images, labels):
    adversary = build(version="custom", attacks_to_run=["apgd-cee"])
    with pytest.raises(UnknownNameError, match="unknown attack 'apgd-cee'; did you mean 'apgd-ce'"):
        adversary.run_standard_evaluation(images, labels)


def test_tensorflow_models_are_refused(network):
    with pytest.raises(BadValueError, match="is_tf_model must be False, got True"):
        AutoAttack(network, is_tf_model=True)
