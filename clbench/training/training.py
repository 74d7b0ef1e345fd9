"""A training under way: its phases one after the other, and what is kept after every epoch."""

import math
import time
from collections.abc import Callable
from pathlib import Path

from clbench.data.image_set import ImageSet
from clbench.models import CifarResNet, build_backbone, load_weights
from clbench.runtime.seeding import randomness
from clbench.schema.dataclass_io import to_table
from clbench.schema.errors import ModelError
from clbench.training.artifacts import BACKBONE, discard_record, hashes, write_log
from clbench.training.backbone import keep_backbone
from clbench.training.checkpoint import FILE, Checkpoint, read_checkpoint, write_checkpoint
from clbench.training.curves import write_curves
from clbench.training.diverged import likely_setting
from clbench.training.phases import Epoch, Job, PhaseRun
from clbench.training.recipe import Phase, Recipe

_DRAW_EVERY = 20.0
"""Seconds between drawings of the curves; one takes as long as an epoch of digits."""


OnStart = Callable[[dict[str, Phase], list[Epoch]], None]
"""Takes the phases to be trained, by name, and the rows of the log that are there already.

Pretraining that is reused is none of them.
"""

OnEpoch = Callable[[Epoch], None]
"""Takes the row of every epoch after it was trained, validated and saved."""


class Training:
    """The phases of a recipe; goes on from the checkpoint in ``out`` where there is one.

    ``selected`` is the epoch kept of each phase, ``seconds`` the time spent, before a stop
    included.
    """

    def __init__(
        self,
        recipe: Recipe,
        out: Path,
        job: Job,
        *,
        pretrained: Path | None,
        on_start: OnStart | None = None,
        on_epoch: OnEpoch | None = None,
    ) -> None:
        self._recipe, self._out, self._job = recipe, out, job
        self._pretrained, self._on_start, self._on_epoch = pretrained, on_start, on_epoch
        self._writes = job.fabric.is_global_zero
        self._settings = {
            "model": recipe.full_name,
            "recipe": to_table(recipe, defaults=False),
            "training images": job.train.sha256,
            "validation images": job.validation.sha256,
            "number of processes": job.fabric.world_size,
            "pretrained backbone": "" if pretrained is None else hashes(pretrained).get(BACKBONE),
        }
        found = read_checkpoint(out, self._settings)
        self._found = found
        self.selected = dict(found.selected) if found else {}
        self._rows = list(found.rows) if found else []
        self._began = time.perf_counter() - (found.seconds if found else 0.0)
        self._drawn = time.perf_counter()

    @property
    def seconds(self) -> float:
        """The time spent so far, in seconds."""
        return time.perf_counter() - self._began

    def run(self) -> CifarResNet:
        """Train, and return the network.

        Raises:
            ModelError: The loss is no longer a finite number.
            StorageError: The folder cannot be written.
        """
        recipe = self._recipe
        if self._writes:
            discard_record(self._out)
            write_log(self._out, self._rows)  # an unwritable folder is told of at once
        reused = () if self._pretrained is None else ("pretraining",)
        phases = {name: phase for name, phase in recipe.phases.items() if name not in reused}
        if self._on_start:
            self._on_start(phases, list(self._rows))
        network = new_network(recipe, self._job.train)
        for name, phase in recipe.phases.items():
            if name in self.selected:
                continue  # the weights are in the checkpoint of the phase after it
            if name == "pretraining" and self._pretrained is not None:
                network.reset_classifier(0)
                load_weights(network, self._pretrained / BACKBONE)
            else:
                self.selected[name] = self._run_phase(network, name, phase)
            if name == "pretraining" and self._writes:
                keep_backbone(network, self._out, self._job.train, self._pretrained)
        if self._writes:
            self._draw()
        return network

    def _run_phase(self, network: CifarResNet, name: str, phase: Phase) -> int:
        """Train ``network`` through a phase, from the checkpoint on, and return the epoch kept."""
        run = PhaseRun(network, name, phase, self._job)
        if self._found is not None and self._found.phase == name:
            run.load_state(self._found.state)
        while run.epoch < phase.epochs:
            row = run.run_epoch()
            if not math.isfinite(row.loss):
                raise ModelError(self._diverged(row, phase))
            self._rows.append(row)
            if self._writes:
                self._keep(name, run)
            if self._on_epoch:
                self._on_epoch(row)
        return run.finish()

    def _keep(self, name: str, run: PhaseRun) -> None:
        checkpoint = Checkpoint(
            settings=self._settings,
            phase=name,
            state=run.state(),
            selected=self.selected,
            rows=tuple(self._rows),
            seconds=self.seconds,
        )
        write_checkpoint(self._out, checkpoint)
        write_log(self._out, self._rows)
        if time.perf_counter() - self._drawn > _DRAW_EVERY:
            self._draw()

    def _draw(self) -> None:
        write_curves(self._out, self._rows)
        self._drawn = time.perf_counter()

    def _diverged(self, row: Epoch, phase: Phase) -> str:
        name = f"{row.phase} epoch {row.epoch}"
        kept = (
            f"{self._out / FILE} has {self._rows[-1].phase} epoch {self._rows[-1].epoch}"
            if self._rows
            else "nothing was kept"
        )
        field, value, instead = likely_setting(phase)
        return (
            f"loss of {self._recipe.full_name} became {row.loss} in {name}, most likely by "
            f"{field} = {value:g}; {kept}; train again "
            f"with --restart --set {row.phase}.{field}={instead:.2g}"
        )


def new_network(recipe: Recipe, images: ImageSet) -> CifarResNet:
    """Return the network of a recipe for such images, its weights drawn from the recipe's seed."""
    with randomness(recipe.seed):
        return build_backbone(
            recipe.backbone, in_chans=images.images.shape[1], num_classes=images.n_classes
        )
