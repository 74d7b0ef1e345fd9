"""Senseless losses: each is a good one with one thing wrong."""

from dataclasses import replace

import torch
from definitions import DEFINITIONS
from torch.nn import functional

from clbench.testing.losses import LossCase
from clbench.training.losses import LOSSES, nt_xent, supcon, trades


def constant(outputs, labels, weights):
    return torch.tensor(1.0)


def contrast(outputs, labels, weights):
    return supcon(outputs, labels, temperature=weights.temperature)


def negated(outputs, labels, weights):
    return -contrast(outputs, labels, weights)


def labels_ignored(outputs, labels, weights):
    return nt_xent(outputs, temperature=weights.temperature)


def labels_used(outputs, labels, weights):
    return contrast(outputs, labels, weights)


def view_with_itself(outputs, labels, weights):
    return nt_xent(torch.stack([outputs[0], outputs[0]]), temperature=weights.temperature)


def swapped(outputs, labels, weights):
    return trades(outputs.flip(0), labels, beta=weights.beta)


def swappable(outputs, labels, weights):
    one, other = (trades(x, labels, beta=weights.beta) for x in (outputs, outputs.flip(0)))
    return one + other


def beta_ignored(outputs, labels, weights):
    return trades(outputs, labels, beta=2.0)


def temperature_ignored(outputs, labels, weights):
    return supcon(outputs, labels, temperature=0.5)


def mean_over_the_wrong_axis(outputs, labels, weights):
    """Probabilities over the batch instead of over the classes."""
    logits, targets = outputs.flatten(0, 1), labels.repeat(len(outputs))
    return functional.nll_loss(logits.log_softmax(dim=0), targets)


def only_pulls_together(outputs, labels, weights):
    rows = functional.normalize(outputs.flatten(0, 1), dim=1)
    ids = labels.repeat(len(outputs))
    return -(rows @ rows.T / weights.temperature)[ids[:, None] == ids[None]].mean()


def case_of(name, like, compute):
    return LossCase(
        name=name, loss=replace(LOSSES[like], compute=compute), definition=DEFINITIONS[like]
    )


OTHER = "equals_the_definition"
ROWS = [
    (
        case_of("a constant", "supcon", constant),
        *("a_step_lowers_it", "wrong_labels_cost_more", "each_coefficient_acts"),
        *("collapse_is_no_minimum", OTHER),
    ),
    (
        case_of("negated", "supcon", negated),
        *("wrong_labels_cost_more", "collapse_is_no_minimum", OTHER),
    ),
    (case_of("labels ignored", "supcon", labels_ignored), "wrong_labels_cost_more", OTHER),
    (case_of("labels used", "nt_xent", labels_used), "wrong_labels_cost_more", OTHER),
    (
        case_of("a view with itself", "nt_xent", view_with_itself),
        *("wrong_labels_cost_more", "swap_changes_it", OTHER),
    ),
    (case_of("clean and adversarial swapped", "trades", swapped), "swap_changes_it", OTHER),
    (case_of("clean and adversarial alike", "trades", swappable), "swap_changes_it", OTHER),
    (case_of("beta ignored", "trades", beta_ignored), "each_coefficient_acts", OTHER),
    (
        case_of("temperature ignored", "supcon", temperature_ignored),
        *("each_coefficient_acts", OTHER),
    ),
    (case_of("mean over the wrong axis", "cross_entropy", mean_over_the_wrong_axis), OTHER),
    (
        case_of("only pulling together", "supcon", only_pulls_together),
        *("collapse_is_no_minimum", OTHER),
    ),
]
"""Cases, each with the laws that it breaks."""
