"""Senseless states: merges that do not look, and loaders that make something up."""

from dataclasses import replace

import torch

from clbench.evaluation.state import EvaluationState, Mismatch
from clbench.testing.states import StateCase

TENSORS = (
    *("index", "labels", "clean_pred", "adv_pred", "broken_by", "components_done", "log2_factors"),
    "image_sums",
)


def joined(parts):
    """The parts behind each other, whatever they are."""
    tensors = {name: torch.cat([getattr(part, name) for part in parts]) for name in TENSORS}
    totals = {
        name: sum(getattr(part, name) for part in parts)
        for name in ("forward_passes", "backward_passes", "seconds")
    }
    flags = sum((part.flags for part in parts), type(parts[0].flags)())
    return replace(parts[0], **tensors, **totals, flags=flags)


class Concatenates(EvaluationState):
    @classmethod
    def merge(cls, parts):
        return joined(parts)


class TakesWhatIsThere(EvaluationState):
    @classmethod
    def merge(cls, parts):
        whole = joined(parts)
        found, first = torch.unique(whole.index, return_inverse=True)
        order = torch.tensor([int((first == place).nonzero()[0]) for place in range(len(found))])
        return replace(whole, **{name: getattr(whole, name)[order] for name in TENSORS})


class BeginsAnewWhereDamaged(EvaluationState):
    @classmethod
    def from_bytes(cls, data, identity, images, logits, made_with):
        found = super().from_bytes(data, identity, images, logits, made_with)
        if isinstance(found, Mismatch):
            return EvaluationState.begin(identity, images, images.labels, logits)
        return found


class ForgetsFlags(EvaluationState):
    def to_bytes(self, made_with):
        return EvaluationState.to_bytes(replace(self, flags=type(self.flags)()), made_with)


REFUSALS = ("a_gap_is_refused", "an_overlap_is_refused", "another_run_is_refused")
ROWS = [
    (
        StateCase(name="concatenates", kind=Concatenates),
        "merging_is_the_inverse_of_cutting",
        *REFUSALS,
    ),
    (StateCase(name="takes what is there", kind=TakesWhatIsThere), *REFUSALS),
    (StateCase(name="begins anew where damaged", kind=BeginsAnewWhereDamaged), "damage_is_named"),
    (StateCase(name="forgets flags", kind=ForgetsFlags), "loading_is_the_inverse_of_saving"),
]
"""Each with the laws that it breaks."""
