from dataclasses import replace
from fractions import Fraction

import pytest
import torch

from clbench.training.adversary import Adversary
from clbench.training.augmentation import NO_VIEWS, Views, augment
from clbench.training.losses import LOSSES, supcon
from clbench.training.objective import Batch, Term, attack, loss_of, make_objective
from clbench.training.trained_model import Attacked, TrainedModel

EPS = Fraction(1, 6)
SOME = Views(rotation=10.0, shift=1.0)

# what the terms of a step hold, clean > attacked: a and b are the first and second view of every
# image, i is the image itself
COMPARED = {
    (None, "nt_xent"): ["ab >"],
    (None, "supcon"): ["ab >"],
    (None, "cross_entropy"): ["a >"],
    ("views", "nt_xent"): ["> ab"],
    ("views", "supcon"): ["> ab"],
    ("views", "cross_entropy"): ["> a"],
    ("views", "trades"): ["a > a"],
    ("one_view", "nt_xent"): ["b > a"],
    ("one_view", "supcon"): ["b > a"],
    ("one_view", "cross_entropy"): ["> a"],
    ("one_view", "trades"): ["a > a"],
    ("image", "nt_xent"): ["i > i", "ab >"],
    ("image", "supcon"): ["i > i", "ab >"],
    ("image", "cross_entropy"): ["> i", "a >"],
    ("image", "trades"): ["i > i"],
}
ATTACKED = [(target, loss) for target, loss in COMPARED if target]
IN_EVAL_MODE = [(*one, "eval") for one in ATTACKED]
IN_FROZEN_STATISTICS = [
    (*one, "frozen_statistics") for one in [("image", "nt_xent"), ("views", "trades")]
]


def alone(rows):
    """Gather nothing: there is one process."""
    return rows


def grey(*values):
    """Return two examples of one pixel for every value."""
    return tuple(torch.full((2, 1, 1, 1), value) for value in values)


@pytest.fixture
def batch():
    return Batch(torch.rand(6, 1, 8, 8), torch.tensor([0, 1, 2, 0, 1, 2]), 6)


@pytest.fixture
def model(network):
    """A model with both heads, in eval mode."""
    return TrainedModel(network, projection=8, classified=True, cosine=False).eval()


@pytest.fixture
def make_case(make_phase, batch):
    """Return a factory of a phase and its terms, from a target and a loss."""

    def make(target, loss, *, steps=3, start="random", mode="eval", **changes):
        adversary = target and Adversary(
            EPS, steps=steps, step_size=0.4, target=target, start=start, mode=mode
        )
        phase = make_phase(loss, adversary=adversary, views=SOME, **changes)
        return phase, make_objective(batch, phase, torch.Generator().manual_seed(7))

    return make


@pytest.fixture
def moved(model, generator):
    """Return a function that attacks a term."""

    def run(term, phase, mode="eval", model=model, cosine=False):
        return attack(
            term,
            phase,
            Attacked(model, mode, cosine=cosine),
            eps=EPS,
            generator=generator,
            gather=alone,
        )

    return run


def told(term, known):
    """Say which of the known views a term holds."""
    named = [
        "".join(name for view in views for name, one in known.items() if torch.equal(view, one))
        for views in (term.clean, term.start)
    ]
    return " > ".join(named).strip()


@pytest.mark.parametrize(("target", "loss"), COMPARED)
def test_every_loss_compares_what_its_adversary_says(make_case, batch, target, loss):
    _, terms = make_case(target, loss)
    generator = torch.Generator().manual_seed(7)
    known = {"a": augment(batch.images, SOME, generator), "i": batch.images}
    known["b"] = augment(batch.images, SOME, generator)
    assert [told(term, known) for term in terms] == COMPARED[target, loss]
    assert all(torch.equal(term.labels, batch.labels) for term in terms)
    assert all(term.loss is LOSSES[loss] for term in terms)


@pytest.mark.parametrize(("target", "loss"), ATTACKED)
def test_only_what_the_adversary_moves_is_moved_and_never_too_far(make_case, moved, target, loss):
    phase, terms = make_case(target, loss)
    for term in terms:
        after = moved(term, phase)
        assert after.clean is term.clean
        assert len(after.start) == len(term.start)
        for one, other in zip(after.start, term.start, strict=True):
            assert 0 < (one - other).abs().max() <= float(EPS) + 1e-6
            assert one.min() >= 0
            assert one.max() <= 1


@pytest.mark.parametrize(
    ("target", "loss", "mode"),
    [*IN_EVAL_MODE, *IN_FROZEN_STATISTICS, ("image", "nt_xent", "train")],
)
def test_clean_views_are_embedded_once_for_all_steps(
    make_case, moved, model, target, loss, mode, monkeypatch
):
    seen, forward = [], TrainedModel.forward

    def count(self, images):
        seen.append(len(images))
        return forward(self, images)

    monkeypatch.setattr(TrainedModel, "forward", count)
    phase, (term, *_) = make_case(target, loss, mode=mode)
    moved(term, phase, mode)
    assert seen == [6] * len(term.clean) + 3 * [6 * len(term.start)]


@pytest.mark.parametrize(("target", "loss"), ATTACKED)
def test_an_attack_raises_the_loss_of_its_term(make_case, moved, model, target, loss):
    phase, (term, *_) = make_case(target, loss)
    with torch.no_grad():
        before, after = (
            loss_of(one, phase, model, gather=alone) for one in (term, moved(term, phase))
        )
    assert after > before


@pytest.mark.parametrize(("target", "loss", "mode"), [*IN_EVAL_MODE, *IN_FROZEN_STATISTICS])
def test_an_attack_leaves_the_learner_as_it_was(
    make_case, moved, model, state_of, equal, target, loss, mode
):
    model.network.conv1.requires_grad_(False)
    before = state_of(model)
    wanted = [parameter.requires_grad for parameter in model.parameters()]
    phase, (term, *_) = make_case(target, loss, mode=mode)
    moved(term, phase, mode)
    assert equal(state_of(model), before)
    assert not any(module.training for module in model.modules())
    assert [parameter.requires_grad for parameter in model.parameters()] == wanted
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not model.cosine


def test_an_attack_in_train_mode_moves_the_statistics_and_nothing_else(
    make_case, moved, model, state_of
):
    before = state_of(model)
    phase, (term, *_) = make_case("image", "nt_xent", mode="train")
    moved(term, phase, "train")
    after = state_of(model)
    changed = {key for key in after if not torch.equal(after[key], before[key])}
    assert changed == set(dict(model.named_buffers()))
    assert after["network.bn1.num_batches_tracked"] - before["network.bn1.num_batches_tracked"] == 4
    assert not any(module.training for module in model.modules())
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_frozen_statistics_attack_through_the_statistics_of_the_batch(make_case, moved):
    phase, (term, *_) = make_case("views", "cross_entropy", start="zero")
    found = {
        mode: moved(term, phase, mode).start[0] for mode in ("eval", "frozen_statistics", "train")
    }
    assert torch.equal(found["frozen_statistics"], found["train"])
    assert not torch.equal(found["eval"], found["train"])


def test_a_failed_attack_leaves_the_learner_as_it_was(model, state_of, equal):
    before = state_of(model)

    def fail():
        with Attacked(model, "frozen_statistics", cosine=True).network() as network:
            network(torch.rand(4, 1, 8, 8))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert equal(state_of(model), before)
    assert not model.training
    assert not model.cosine
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_without_an_adversary_nothing_is_moved(make_case, moved):
    phase, (term,) = make_case(None, "nt_xent")
    assert moved(term, phase) is term


def test_contrastive_attacks_see_labels_only_where_the_loss_does(make_case, moved, generator):
    for loss, differs in (("nt_xent", False), ("supcon", True)):
        phase, (term, *_) = make_case("views", loss)
        renamed = replace(term, labels=torch.tensor([0, 0, 1, 1, 2, 2]))
        state = generator.get_state()
        one = moved(term, phase).start[0]
        generator.set_state(state)
        assert torch.equal(one, moved(renamed, phase).start[0]) is not differs


def test_the_loss_of_a_term_is_that_of_clean_views_then_moved_ones(make_phase, model, batch):
    views = tuple(torch.rand(6, 1, 8, 8) for _ in range(2))
    term = Term(LOSSES["supcon"], batch.labels, views[:1], views[1:])
    phase = make_phase("supcon", temperature=0.3)
    found = loss_of(term, phase, model, gather=alone)
    rows = torch.stack([model(view).projections for view in views])
    torch.testing.assert_close(found, supcon(rows, batch.labels, temperature=0.3))


def test_contrastive_rows_and_labels_are_gathered_and_logits_are_not(make_case, model):
    for loss, expected in (("supcon", [2, 1]), ("cross_entropy", [])):
        seen = []

        def note(rows, seen=seen):
            seen.append(rows.ndim - (rows.ndim == 3))
            return rows

        phase, (term,) = make_case(None, loss)
        loss_of(term, phase, model, gather=note)
        assert seen == expected


@pytest.mark.parametrize("training", [True, False])
def test_separate_views_are_forward_passes_with_statistics_of_their_own(make_case, model, training):
    model.train(training)
    found, sizes = [], []
    model.register_forward_pre_hook(lambda _, args: sizes.append(len(args[0])))
    for separate in (False, True):
        phase, (term,) = make_case(None, "nt_xent", separate_views=separate)
        found.append(float(loss_of(term, phase, model, gather=alone).detach()))
    assert sizes == [12, 6, 6]
    assert (found[0] == pytest.approx(found[1], rel=1e-5)) is not training


def test_two_losses_have_the_examples_that_they_are_for(make_phase, batch, generator):
    some = replace(batch, labels=torch.tensor([0, 1, -3, -4, -5, -6]), n_labelled=2)
    for loss, other, seen in (
        ("nt_xent", "cross_entropy", ([-3, -4, -5, -6], [0, 1])),
        ("nt_xent", "supcon", ([-3, -4, -5, -6], [0, 1])),
        ("supcon", "cross_entropy", ([0, 1, -3, -4, -5, -6], [0, 1])),
    ):
        phase = make_phase(loss, labelled=0.3, labelled_loss=other, views=NO_VIEWS)
        terms = make_objective(some, phase, generator)
        assert tuple(term.labels.tolist() for term in terms) == seen
        assert [term.loss for term in terms] == [LOSSES[loss], LOSSES[other]]
        for term in terms:
            start = 6 - len(term.labels) if term.labels[0] < 0 else 0
            wanted = some.images[start : start + len(term.labels)]
            assert all(torch.equal(view, wanted) for view in term.clean)


def test_two_losses_can_both_be_adversarial(make_phase, make_adversary, batch, moved, generator):
    phase = make_phase(
        "nt_xent", labelled=0.3, labelled_loss="trades", adversary=make_adversary(target="one_view")
    )
    terms = [
        moved(t, phase) for t in make_objective(replace(batch, n_labelled=2), phase, generator)
    ]
    assert [(len(term.clean), len(term.start)) for term in terms] == [(1, 1), (1, 1)]
    assert [len(term.start[0]) for term in terms] == [4, 2]


def test_a_part_of_a_batch_knows_its_labels():
    batch = Batch(torch.rand(5, 1, 2, 2), torch.tensor([3, 1, -3, -4, -5]), 2)
    for which, n_labelled in (
        (slice(0, 2), 2),
        (slice(2, None), 0),
        (slice(1, 4), 1),
        (slice(None), 2),
        (slice(1), 1),
    ):
        part = batch.part(which)
        assert part.n_labelled == n_labelled
        assert torch.equal(part.labels, batch.labels[which])
        assert torch.equal(part.images, batch.images[which])
