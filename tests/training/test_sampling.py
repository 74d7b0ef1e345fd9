from dataclasses import replace

import pytest
import torch

from clbench.data.load import training_set
from clbench.training.sampling import Sampler, known_labels

LABELS = torch.arange(200) % 7


@pytest.fixture
def make_sampler(make_phase):
    """Return a factory of samplers over 200 labels; keyword arguments replace fields of a phase."""

    def make(loss="nt_xent", labels=LABELS, seed=0, **changes):
        phase = make_phase(loss, **({"batch_size": 20} | changes))
        return Sampler(labels, phase, seed=seed)

    return make


def semi(share, **changes):
    return {"labelled": share, "labelled_loss": "cross_entropy"} | changes


@pytest.mark.parametrize("share", [0.01, 0.1, 0.2, 0.5, 0.99, 1.0])
def test_every_class_has_its_share_of_labels_and_at_least_one(share):
    labels = training_set("digits", "train").labels
    known = known_labels(labels, share, seed=0)
    for label in range(10):
        of_class = known[labels == label]
        assert int(of_class.sum()) == max(1, round(share * len(of_class)))


def test_whose_labels_are_known_follows_the_seed():
    first, same, other = (known_labels(LABELS, 0.3, seed=seed) for seed in (4, 4, 5))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_whose_labels_are_known_is_no_order_of_the_file():
    known = known_labels(LABELS, 0.5, seed=0)
    assert 30 < int(known[:100].sum()) < 70


def test_an_epoch_shows_every_image_once_but_for_a_short_last_batch(make_sampler, generator):
    sampler = make_sampler(batch_size=30)
    batches = [(chosen, n) for chosen, n in sampler.epoch(generator)]
    assert sampler.steps == len(batches) == 6
    assert sampler.images == 180
    assert all(len(chosen) == n == 30 for chosen, n in batches)
    assert len(torch.cat([chosen for chosen, _ in batches]).unique()) == 180


def test_the_order_is_the_generators(make_sampler):
    sampler = make_sampler()
    orders = [
        torch.cat([chosen for chosen, _ in sampler.epoch(torch.Generator().manual_seed(seed))])
        for seed in (1, 1, 2)
    ]
    assert torch.equal(orders[0], orders[1])
    assert not torch.equal(orders[0], orders[2])


def test_a_batch_larger_than_the_data_is_the_data(make_sampler, generator):
    ((chosen, n),) = make_sampler(batch_size=1000).epoch(generator)
    assert n == 200
    assert torch.equal(chosen.sort().values, torch.arange(200))


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5, 0.8])
def test_with_a_second_loss_every_batch_has_its_share_of_labels(make_sampler, generator, share):
    known = known_labels(LABELS, share, seed=0)
    batches = list(make_sampler(**semi(share)).epoch(generator))
    assert batches
    for chosen, n in batches:
        assert n == round(20 * share)
        assert len(chosen) == 20
        assert known[chosen[:n]].all()
        assert not known[chosen[n:]].any()
    shown = torch.cat([chosen for chosen, _ in batches])
    assert len(shown) == len(shown.unique())


@pytest.mark.parametrize("loss", ["cross_entropy", "supcon", "nt_xent"])
def test_without_a_second_loss_only_images_with_labels_are_shown(make_sampler, generator, loss):
    known = known_labels(LABELS, 0.3, seed=0)
    batches = list(make_sampler(loss, labelled=0.3).epoch(generator))
    assert all(n == len(chosen) == 20 for chosen, n in batches)
    assert all(known[chosen].all() for chosen, _ in batches)
    assert len(batches) == int(known.sum()) // 20


@pytest.mark.parametrize("batch_size", [2, 7, 20, 199, 200, 1000])
@pytest.mark.parametrize("share", [0.001, 0.01, 0.215, 0.5, 0.785, 0.999])
def test_however_few_the_labels_every_batch_has_one(make_sampler, generator, share, batch_size):
    sampler = make_sampler(**semi(share, batch_size=batch_size))
    batches = list(sampler.epoch(generator))
    assert len(batches) == sampler.steps > 0
    assert {n for _, n in batches} == {sampler.n_labelled}
    assert sampler.n_labelled > 0
    assert sum(len(chosen) for chosen, _ in batches) == sampler.images


def test_both_phases_of_a_semi_supervised_training_know_the_same_labels(make_recipe, generator):
    recipe = make_recipe("semi_simclr_supervised")
    labels = training_set("digits", "train").labels
    shown = [
        {
            int(i)
            for chosen, n in Sampler(labels, phase, seed=0).epoch(generator)
            for i in chosen[:n]
        }
        for phase in (replace(p, batch_size=8) for p in recipe.phases.values())
    ]
    known = set(known_labels(labels, 0.2, seed=0).nonzero().flatten().tolist())
    assert shown[0] <= known
    assert shown[1] <= known
    assert len(shown[1]) > 0.9 * len(known)
