"""What one step compares: views of a batch, some of them adversarial, and the loss of each set."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from clbench.training.adversary import Target, perturb
from clbench.training.augmentation import augment
from clbench.training.losses import LOSSES, Loss
from clbench.training.recipe import Phase
from clbench.training.trained_model import Attacked, Outputs

Images = Float[Tensor, "n c h w"]


@dataclass(frozen=True)
class Term:
    """Views of the same examples whose loss is one part of a step's; each view is a batch.

    ``start`` are the views that an adversary moves before the loss is taken. They come after the
    clean ones.
    """

    loss: Loss
    labels: Int[Tensor, " n"]
    clean: tuple[Images, ...]
    start: tuple[Images, ...] = ()


@dataclass(frozen=True)
class Batch:
    """Examples of one step; the first ``n_labelled`` have labels, the others have numbers below 0.

    Every image without a label has a number of its own: it is alone in its class.
    """

    images: Images
    labels: Int[Tensor, " n"]
    n_labelled: int

    def part(self, which: slice) -> "Batch":
        """Return some of the examples."""
        start, stop, _ = which.indices(len(self.labels))
        n_labelled = min(max(self.n_labelled - start, 0), stop - start)
        return Batch(self.images[which], self.labels[which], n_labelled)


def make_objective(batch: Batch, phase: Phase, generator: torch.Generator) -> list[Term]:
    """Return what a step compares: the terms of each loss on the examples that it is for."""
    known, rest = batch.part(slice(batch.n_labelled)), batch.part(slice(batch.n_labelled, None))
    parts = [(phase.objective, batch if phase.objective.labelled or not len(rest.labels) else rest)]
    if phase.labelled_loss:
        parts.append((LOSSES[phase.labelled_loss], known))
    terms: list[Term] = []
    for loss, part in parts:
        views = [augment(part.images, phase.views, generator) for _ in range(loss.views)]
        compare = _TERMS[phase.adversary.target] if phase.adversary else _clean
        terms += compare(loss, part, tuple(views))
    return terms


@runtime_checkable
class _Compare(Protocol):
    def __call__(self, loss: Loss, batch: Batch, views: tuple[Images, ...], /) -> list[Term]: ...


def _clean(loss: Loss, batch: Batch, views: tuple[Images, ...]) -> list[Term]:
    return [Term(loss, batch.labels, views)]


def _all_views(loss: Loss, batch: Batch, views: tuple[Images, ...]) -> list[Term]:
    return [Term(loss, batch.labels, views if loss.anchored else (), views)]


def _one_view(loss: Loss, batch: Batch, views: tuple[Images, ...]) -> list[Term]:
    anchors = views[:1] if loss.anchored else views[1:]
    return [Term(loss, batch.labels, anchors, views[:1])]


def _image(loss: Loss, batch: Batch, views: tuple[Images, ...]) -> list[Term]:
    plain = (batch.images,)
    compares = loss.anchored or loss.views > 1
    attacked = Term(loss, batch.labels, plain if compares else (), plain)
    return [attacked] if loss.anchored else [attacked, Term(loss, batch.labels, views)]


_TERMS: dict[Target, _Compare] = {
    "views": _all_views,
    "one_view": _one_view,
    "image": _image,
}
"""What is compared with what, by what the adversary moves."""

Gather = Callable[[Tensor], Tensor]
"""Joins the rows [views, n, d] or labels [n] of all devices along ``n``, with gradients."""


def loss_of(
    term: Term,
    phase: Phase,
    forward: Callable[[Tensor], Outputs],
    *,
    gather: Gather,
) -> Float[Tensor, ""]:
    """Return the loss of a term whose adversarial views have been made."""
    views = (*term.clean, *term.start)
    groups = views if phase.separate_views else (torch.cat(views),)
    rows = torch.cat([_head(forward(group), term.loss) for group in groups])
    return _value(rows, term, phase, gather)


def attack(
    term: Term,
    phase: Phase,
    attacked: Attacked,
    *,
    eps: Fraction,
    generator: torch.Generator,
    gather: Gather,
) -> Term:
    """Return the term with its views moved; the embeddings of clean views are computed once."""
    if phase.adversary is None or not term.start:
        return term
    with attacked.network() as network:
        clean = list(_clean_rows(term, network))
        objective = partial(
            _rise, term=term, phase=phase, network=network, clean=clean, gather=gather
        )
        moved = perturb(
            objective, torch.cat(term.start), phase.adversary, eps=eps, generator=generator
        )
    return Term(term.loss, term.labels, term.clean, tuple(moved.chunk(len(term.start))))


def _clean_rows(term: Term, network: nn.Module) -> Iterator[Tensor]:
    with torch.no_grad():
        for view in term.clean:
            yield _head(network(view), term.loss)


def _rise(
    images: Images,
    *,
    term: Term,
    phase: Phase,
    network: nn.Module,
    clean: list[Tensor],
    gather: Gather,
) -> Float[Tensor, ""]:
    rows = torch.cat([*clean, _head(network(images), term.loss)])
    return _value(rows, term, phase, gather)


def _value(rows: Float[Tensor, "vn d"], term: Term, phase: Phase, gather: Gather) -> Tensor:
    outputs, labels = rows.view(-1, len(term.labels), rows.shape[1]), term.labels
    if term.loss.projected:
        outputs, labels = gather(outputs), gather(labels)
    return term.loss.compute(outputs, labels, phase.weights)


def _head(outputs: Outputs, loss: Loss) -> Float[Tensor, "n d"]:
    rows = outputs.projections if loss.projected else outputs.logits
    assert rows is not None, "a model has the heads of its losses"
    return rows
