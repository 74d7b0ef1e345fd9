"""Every training loss keeps the laws of losses, alone and as the objective of a step."""

from dataclasses import replace
from fractions import Fraction

import pytest
from definitions import DEFINITIONS

from clbench.testing.law import check, laws_for
from clbench.testing.losses import LOSS_LAWS, LossCase
from clbench.training.adversary import Adversary
from clbench.training.losses import LOSSES
from clbench.training.objective import Term, loss_of
from clbench.training.recipe import Optimizer, Phase
from clbench.training.trained_model import Outputs


def both_heads(images):
    """Pass images on as what a network made of them."""
    return Outputs(images.flatten(1), images.flatten(1))


def as_an_objective(name, *, separate_views):
    """Return the loss as a step takes it, of a network that passes outputs on."""
    loss = LOSSES[name]
    adversary = Adversary(Fraction(1, 6), steps=1, step_size=1.0)

    def compute(outputs, labels, weights):
        phase = Phase(
            loss=name,
            trains="everything",
            epochs=1,
            batch_size=8,
            optimizer=Optimizer("sgd", lr=0.1),
            adversary=adversary,
            temperature=weights.temperature,
            beta=weights.beta,
            separate_views=separate_views,
        )
        clean, moved = (view[:, :, None, None] for view in outputs)
        term = Term(loss, labels, (clean,), (moved,))
        return loss_of(term, phase, both_heads, gather=lambda rows: rows)

    return replace(loss, compute=compute)


def cases():
    for name, loss in LOSSES.items():
        yield LossCase(name=name, loss=loss, definition=DEFINITIONS[name])
        for how in (False, True):
            yield LossCase(
                name=f"{name} as an objective{' of separate views' if how else ''}",
                loss=as_an_objective(name, separate_views=how),
                definition=DEFINITIONS[name],
            )


LAWFUL = [
    pytest.param(case, law, id=f"{case.name}-{law}")
    for case in cases()
    for law in laws_for(LOSS_LAWS, case)
]


@pytest.mark.parametrize(("case", "law"), LAWFUL)
def test_every_loss_keeps_the_laws(case, law):
    check(LOSS_LAWS, case, [law])


def test_every_loss_has_a_definition():
    assert set(DEFINITIONS) == set(LOSSES)
