from dataclasses import replace
from fractions import Fraction

import pytest
import torch
from torch import nn

from clbench.errors import ModelError
from clbench.train.phases import (
    Job,
    Projected,
    accuracy,
    lr_factor,
    make_optimizer,
    run_phase,
)
from clbench.train.recipe import Optimizer, Validation
from clbench.train.views import NO_VIEWS

ONE_STEP = Validation(Fraction(1, 6), 1)


@pytest.fixture
def make_job(digits, fabric):
    """Return a factory of jobs that note their epochs in ``rows``."""
    train, validation = digits

    def make(rows=None, **changes):
        rows = [] if rows is None else rows
        job = Job("net", train, validation, ONE_STEP, "robust_acc", 0, fabric, rows.append)
        return replace(job, **changes)

    return make


def state_of(module):
    return {key: value.clone() for key, value in module.state_dict().items()}


def backbone_of(network):
    return {key: value for key, value in state_of(network).items() if not key.startswith("fc.")}


def equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("name", ["simclr_at", "simclr_partial_at", "supcon_st"])
def test_a_frozen_backbone_stays_bit_equal(network, make_job, make_recipe, name):
    before, head = backbone_of(network), network.fc.weight.clone()
    run_phase(network, "finetuning", make_recipe(name).finetuning, make_job())
    assert equal(backbone_of(network), before)
    assert not torch.equal(network.fc.weight, head)
    assert all(parameter.requires_grad for parameter in network.parameters())


@pytest.mark.parametrize("name", ["simclr_full_at", "supervised_at"])
def test_what_is_not_frozen_changes_and_with_it_its_statistics(
    network, make_job, make_recipe, name
):
    phase = next(reversed(make_recipe(name).phases.values()))
    before = backbone_of(network)
    run_phase(network, "finetuning", phase, make_job())
    after = backbone_of(network)
    assert all(not torch.equal(after[key], before[key]) for key in before)


@pytest.mark.parametrize("name", ["simclr_st", "supcon_at"])
def test_pretraining_with_a_projector_leaves_the_classifier_alone(
    network, make_job, make_recipe, name
):
    head, before, rows = network.fc.weight.clone(), backbone_of(network), []
    kept = run_phase(network, "pretraining", make_recipe(name).pretraining, make_job(rows))
    assert torch.equal(network.fc.weight, head)
    assert not equal(backbone_of(network), before)
    assert kept == len(rows) == 1
    assert rows[0].clean_acc is rows[0].robust_acc is None


def test_the_same_seed_gives_the_same_weights_and_another_does_not(make_job, make_recipe, network):
    start, phase, found = state_of(network), make_recipe("simclr_at").pretraining, []
    for seed in (0, 0, 1):
        network.load_state_dict(start)
        run_phase(network, "pretraining", phase, make_job(seed=seed))
        found.append(state_of(network))
    assert equal(found[0], found[1])
    assert not equal(found[0], found[2])


def test_global_randomness_is_left_alone(network, make_job, make_recipe):
    before = torch.get_rng_state()
    run_phase(network, "finetuning", make_recipe("simclr_full_at").finetuning, make_job())
    assert torch.equal(torch.get_rng_state(), before)


def test_the_best_validated_epoch_is_kept(network, make_job, make_recipe, monkeypatch):
    states, accuracies = [], iter([0.3, 0.1, 0.6, 0.2, 0.6, 0.3, 0.4, 0.4])

    def note(row):
        states.append(state_of(network))

    monkeypatch.setattr("clbench.train.phases.accuracy", lambda *a, **k: next(accuracies))
    phase = replace(make_recipe("supervised_at", epochs=4).pretraining, validate_every=1)
    kept = run_phase(network, "pretraining", phase, make_job(on_epoch=note))
    assert kept == 4  # robust accuracies 0.1, 0.2, 0.3, 0.4
    assert equal(state_of(network), states[3])


def test_of_equal_epochs_the_later_is_kept(network, make_job, make_recipe, monkeypatch):
    accuracies = iter([0.9, 0.1, 0.2, 0.5, 0.9, 0.6, 0.1, 0.7])
    monkeypatch.setattr("clbench.train.phases.accuracy", lambda *a, **k: next(accuracies))
    phase = replace(make_recipe("supervised_st", epochs=4).pretraining, validate_every=1)
    assert run_phase(network, "pretraining", phase, make_job(criterion="clean_acc")) == 3


def test_only_every_so_many_epochs_are_validated(network, make_job, make_recipe):
    rows, phase = [], make_recipe("supcon_st", epochs=3).finetuning
    run_phase(network, "finetuning", replace(phase, validate_every=2), make_job(rows))
    assert [row.clean_acc is not None for row in rows] == [False, True, True]


def test_training_learns(make_job, make_recipe, network):
    phase = make_recipe("supervised_st", epochs=12).pretraining
    rows = []
    phase = replace(phase, views=NO_VIEWS, optimizer=Optimizer("adamw", 0.003))
    run_phase(network, "pretraining", phase, make_job(rows))
    assert rows[-1].loss < 0.5 * rows[0].loss


def test_a_loss_that_is_no_number_stops_with_one_line(network, make_job, make_recipe):
    phase = make_recipe("supervised_st", epochs=3).pretraining
    wild = replace(phase, optimizer=Optimizer("sgd", lr=1e30))
    message = (
        r"^loss of net became (nan|inf) in epoch [123] of pretraining; lower the lr .*, 1e\+30$"
    )
    with pytest.raises(ModelError, match=message):
        run_phase(network, "pretraining", wild, make_job())


def test_a_batch_larger_than_the_data_is_the_data(network, make_job, make_recipe):
    phase = replace(make_recipe("supcon_st").finetuning, batch_size=1000)
    rows = []
    run_phase(network, "finetuning", phase, make_job(rows))
    assert len(rows) == 1


def test_accuracy_falls_under_attack_and_leaves_the_network_alone(network, digits):
    train, _ = digits
    network.train()
    before = state_of(network)
    clean = accuracy(network, train, None, device=torch.device("cpu"))
    robust = accuracy(network, train, ONE_STEP, device=torch.device("cpu"))
    assert 0 <= robust <= clean <= 1
    assert network.training
    assert equal(state_of(network), before)


def test_the_projector_looks_at_the_pooled_features(network):
    images = torch.rand(3, 1, 8, 8)
    projected = Projected(network, 7)
    features = network.forward_head(network.forward_features(images), pre_logits=True)
    assert projected(images).shape == (3, 7)
    assert torch.equal(projected(images), projected.projector(features))


@pytest.mark.parametrize(("name", "kind"), [("sgd", "SGD"), ("adamw", "AdamW")])
def test_optimizers_take_over_the_recipe(name, kind):
    row = Optimizer(name, lr=0.2, weight_decay=0.01)
    made = make_optimizer(nn.Linear(2, 2), row)
    assert type(made).__name__ == kind
    assert made.param_groups[0]["lr"] == 0.2
    assert made.param_groups[0]["weight_decay"] == 0.01


def test_the_learning_rate_rises_then_falls_to_nothing():
    factors = [lr_factor(step, warmup=5, total=50) for step in range(50)]
    assert factors[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert factors[5:] == sorted(factors[5:], reverse=True)
    assert factors[-1] < 0.01
    assert lr_factor(0, warmup=0, total=1) == 1
