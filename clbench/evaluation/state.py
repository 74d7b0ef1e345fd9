"""How far a cascade of attacks has come, and the bytes from which it can go on."""

import io
import json
import math
import zipfile
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from clbench.evaluation.confirm import Attempt

ROBUST, CLEAN = -1, -2
"""In ``broken_by``: no attack has broken the example; the clean image is misclassified already."""

_COUNTERS = ("batch_size", "step", "batch", "forward_passes", "backward_passes", "seconds")


@dataclass
class Cascade:
    """The state of an evaluation between two batches; all tensors are on the CPU.

    Every step attacks ``todo``, the examples that stood when it began, in their order and in full
    batches. ``step`` and ``batch`` say what comes next.
    """

    batch_size: int
    clean_pred: Int[Tensor, " n"]
    adv_pred: Int[Tensor, " n"]
    broken_by: Int[Tensor, " n"]
    adversarial: Float[Tensor, "n c h w"]
    todo: Int[Tensor, " m"]
    step: int = 0
    batch: int = 0
    forward_passes: int = 0
    backward_passes: int = 0
    seconds: float = 0.0
    flags: set[str] = field(default_factory=set)

    @classmethod
    def begin(
        cls,
        images: Float[Tensor, "n c h w"],
        labels: Int[Tensor, " n"],
        clean_pred: Int[Tensor, " n"],
        batch_size: int,
    ) -> "Cascade":
        """Return the state before the first attack."""
        broken_by = torch.where(clean_pred == labels, ROBUST, CLEAN)
        todo = (broken_by == ROBUST).nonzero()[:, 0]
        return cls(batch_size, clean_pred, clean_pred.clone(), broken_by, images.clone(), todo)

    @property
    def n_batches(self) -> int:
        """How many batches the running step has."""
        return math.ceil(len(self.todo) / self.batch_size)

    @property
    def n_robust(self) -> int:
        """How many examples stand."""
        return int((self.broken_by == ROBUST).sum())

    def next_examples(self) -> Int[Tensor, " b"]:
        """Return the indices of the examples of the next batch."""
        start = self.batch * self.batch_size
        return self.todo[start : start + self.batch_size]

    def take(self, examples: Int[Tensor, " b"], attempt: Attempt) -> None:
        """Enter what the running step did to ``examples``, and go on to the next batch."""
        broken = attempt.broken.cpu()
        fallen = examples[broken]
        self.adversarial[fallen] = attempt.adversarial.cpu()[broken]
        self.adv_pred[fallen] = attempt.predicted.cpu()[broken]
        self.broken_by[fallen] = self.step
        self.flags |= attempt.flags
        self.batch += 1

    def finish_step(self) -> None:
        """Go on to the next step, which attacks what stands now."""
        self.todo = (self.broken_by == ROBUST).nonzero()[:, 0]
        self.step, self.batch = self.step + 1, 0

    def to_bytes(self, fingerprint: str) -> bytes:
        """Return all of this as an npz file; images only of examples that an attack broke."""
        fallen = (self.broken_by >= 0).nonzero()[:, 0]
        about = {name: getattr(self, name) for name in _COUNTERS}
        about |= {"fingerprint": fingerprint, "flags": sorted(self.flags)}
        buffer = io.BytesIO()
        np.savez(
            buffer,
            about=np.array(json.dumps(about)),
            clean_pred=self.clean_pred.numpy(),
            adv_pred=self.adv_pred.numpy(),
            broken_by=self.broken_by.numpy(),
            todo=self.todo.numpy(),
            fallen=fallen.numpy(),
            images=self.adversarial[fallen].numpy(),
        )
        return buffer.getvalue()

    @classmethod
    def from_bytes(
        cls, data: bytes, fingerprint: str, images: Float[Tensor, "n c h w"]
    ) -> "Cascade | None":
        """Return the state that ``data`` holds, or None where it is damaged or of another run.

        ``images`` are the clean images, for the examples that no attack broke.
        """
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as file:
                arrays: dict[str, Any] = {
                    name: torch.from_numpy(file[name]) for name in file.files if name != "about"
                }
                about: dict[str, Any] = json.loads(str(file["about"]))
        except (ValueError, KeyError, IndexError, OSError, EOFError, zipfile.BadZipFile):
            return None
        if about.pop("fingerprint", None) != fingerprint:
            return None
        adversarial = images.clone()
        adversarial[arrays.pop("fallen")] = arrays.pop("images")
        flags = set(about.pop("flags"))
        return cls(**arrays, **about, adversarial=adversarial, flags=flags)
