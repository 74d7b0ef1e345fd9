"""Phases trained one after the other, with all that is kept after every epoch."""

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from clbench.schema.errors import ModelError
from clbench.training.artifacts import discard_record, write_log
from clbench.training.checkpoint import FILE, Checkpoint, read_checkpoint, write_checkpoint
from clbench.training.curves import write_curves
from clbench.training.diverged import likely_setting
from clbench.training.phases import Epoch, Job, PhaseRun
from clbench.training.recipe import Phase

_DRAW_EVERY = 20.0
"""Seconds between drawings of the curves; one takes as long as an epoch of digits."""

OnStart = Callable[[dict[str, Phase], list[Epoch]], None]
"""Takes the phases to be trained, by name, and the rows of the log that are there already.

Pretraining that is reused is none of them.
"""

OnEpoch = Callable[[Epoch], None]
"""Takes the row of every epoch after it was trained, validated and saved."""


class UnderWay:
    """Where a training stands; goes on from the checkpoint in ``out`` where there is one.

    ``selected`` is the epoch kept of each phase, ``rows`` the log so far, ``seconds`` the time
    spent, before a stop included.

    Args:
        called: How messages call what is trained.
        settings: What a training must have in common with the one that goes on.
        out: The folder of the run.
        job: What the phases share.
        on_epoch: Told every epoch.
    """

    def __init__(
        self,
        called: str,
        settings: dict[str, Any],
        out: Path,
        job: Job,
        *,
        on_epoch: OnEpoch | None = None,
    ) -> None:
        self._called, self._settings, self._out, self._job = called, settings, out, job
        self._on_epoch = on_epoch
        self.writes = job.fabric.is_global_zero
        found = read_checkpoint(out, settings)
        self._found = found
        self.selected = dict(found.selected) if found else {}
        self.rows = list(found.rows) if found else []
        self._spent = found.seconds if found else 0.0
        self._began = self._drawn = time.perf_counter()

    @property
    def seconds(self) -> float:
        """The time spent since it was begun, in seconds."""
        return self._spent + time.perf_counter() - self._began

    def begin(self) -> None:
        """Let the folder be no longer that of a finished training; the clock runs from here.

        Raises:
            StorageError: It cannot be written, which is told of at once.
        """
        self._began = self._drawn = time.perf_counter()
        if self.writes:
            discard_record(self._out)
            write_log(self._out, self.rows)

    def run_phase(self, network: nn.Module, name: str, phase: Phase) -> None:
        """Train ``network`` through a phase, from the checkpoint on.

        Raises:
            ModelError: The loss is no longer a finite number.
            StorageError: The folder cannot be written.
        """
        run = PhaseRun(network, name, phase, self._job)
        if self._found is not None and self._found.phase == name:
            run.load_state(self._found.state)
        while run.epoch < phase.epochs:
            row = run.run_epoch()
            if not math.isfinite(row.loss):
                raise ModelError(self._diverged(row, phase))
            self.rows.append(row)
            if self.writes:
                self._keep(name, run)
            if self._on_epoch:
                self._on_epoch(row)
        self.selected[name] = run.finish()

    def draw(self) -> None:
        """Draw the curves of the log."""
        if self.writes:
            write_curves(self._out, self.rows)
            self._drawn = time.perf_counter()

    def _keep(self, name: str, run: PhaseRun) -> None:
        checkpoint = Checkpoint(
            settings=self._settings,
            phase=name,
            state=run.state(),
            selected=self.selected,
            rows=tuple(self.rows),
            seconds=self.seconds,
        )
        write_checkpoint(self._out, checkpoint)
        write_log(self._out, self.rows)
        if time.perf_counter() - self._drawn > _DRAW_EVERY:
            self.draw()

    def _diverged(self, row: Epoch, phase: Phase) -> str:
        name = f"{row.phase} epoch {row.epoch}"
        kept = (
            f"{self._out / FILE} has {self.rows[-1].phase} epoch {self.rows[-1].epoch}"
            if self.rows
            else "nothing was kept"
        )
        field, value, instead = likely_setting(phase)
        return (
            f"loss of {self._called} became {row.loss} in {name}, most likely by "
            f"{field} = {value:g}; {kept}; train again "
            f"with --restart --set {row.phase}.{field}={instead:.2g}"
        )
