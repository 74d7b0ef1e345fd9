"""Heads of several seeds on one encoder: those that are missing are fitted, one after the other."""

import logging
from dataclasses import dataclass, replace
from pathlib import Path

from lightning_fabric import Fabric
from torch import nn

from clbench.models.encoder import Encoder
from clbench.schema.dataclass_io import to_table
from clbench.schema.files import sha256_of_file
from clbench.schema.head import HeadSummary
from clbench.schema.training_record import TrainingRecord
from clbench.training.artifacts import WEIGHTS, hashes, read_record, write_record
from clbench.training.checkpoint import discard_checkpoint
from clbench.training.devices import make_fabric
from clbench.training.heads.finished import check_seeds, finished_head, seed_folder
from clbench.training.heads.recipe import PHASE, HeadRecipe
from clbench.training.heads.write import (
    summary_of,
    tell_seeds,
    write_head_card,
    write_network,
    write_summary,
)
from clbench.training.images import TrainingImages
from clbench.training.notes import warmup_notes
from clbench.training.phases import Epoch, Job
from clbench.training.preflight import check_fits
from clbench.training.reached import training_record
from clbench.training.under_way import OnEpoch, OnStart, UnderWay

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class FittedHead:
    """Heads of all seeds; each is in the folder ``seed-N`` of ``out``.

    ``new`` is False where all of them had been finished before.
    """

    summary: HeadSummary
    records: tuple[TrainingRecord, ...]
    out: Path
    new: bool


@dataclass(frozen=True)
class HeadRun:
    """Heads to be fitted: one recipe for each seed, everything else in common."""

    encoder: Encoder
    recipes: tuple[HeadRecipe, ...]
    images: TrainingImages
    out: Path
    files: tuple[Path, ...]
    command: str

    def fit(
        self, device: str, *, restart: bool, on_start: OnStart | None, on_epoch: OnEpoch | None
    ) -> FittedHead:
        """Fit what is not finished, and write the summary."""
        fabric = make_fabric(device, self.recipes[0].precision)
        check_fits(self.recipes[0], self.images.train, processes=fabric.world_size)
        for note in warmup_notes(self.recipes[0]):
            _LOGGER.warning(note)
        check_seeds(self.out, len(self.recipes))
        done = {
            one.seed: None if restart else finished_head(self._folder(one), one, self.images)
            for one in self.recipes
        }
        missing = [one for one in self.recipes if done[one.seed] is None]
        if restart and fabric.is_global_zero:
            for one in missing:
                discard_checkpoint(self._folder(one))
        fabric.barrier()
        jobs = {one.seed: self._under_way(one, fabric, on_epoch) for one in missing}
        if on_start and missing:
            rows = [_of_seed(row, one) for one in missing for row in jobs[one.seed][1].rows]
            on_start({one.full_name: one.finetuning for one in missing}, rows)
        for one in missing:
            done[one.seed] = self._fit_one(one, *jobs[one.seed])
        records = [record for record in done.values() if record is not None]
        summary = summary_of(self.encoder, self.recipes[0], records)
        if fabric.is_global_zero:
            for one in self.recipes:
                tell_seeds(self._folder(one), summary.seeds)
            write_summary(self.out, summary)
        return FittedHead(summary, tuple(records), self.out, new=bool(missing))

    def _folder(self, recipe: HeadRecipe) -> Path:
        return seed_folder(self.out, recipe.seed)

    def _under_way(
        self, recipe: HeadRecipe, fabric: Fabric, on_epoch: OnEpoch | None
    ) -> tuple[Job, UnderWay]:
        """Return where the fit of a seed stands."""
        job = Job(
            train=self.images.train,
            validation=self.images.validation,
            attack=recipe.validation,
            criterion=recipe.criterion,
            seed=recipe.seed,
            fabric=fabric,
        )
        table = to_table(recipe, defaults=False)
        settings = {
            "method": table.pop("method"),
            "encoder": table.pop("encoder"),
            "recipe": table,
            "training images": job.train.sha256,
            "validation images": job.validation.sha256,
            "number of processes": fabric.world_size,
        }

        def tell(row: Epoch) -> None:
            if on_epoch:
                on_epoch(_of_seed(row, recipe))

        folder = self._folder(recipe)
        return job, UnderWay(recipe.full_name, settings, folder, job, on_epoch=tell)

    def _fit_one(self, recipe: HeadRecipe, job: Job, under_way: UnderWay) -> TrainingRecord:
        """Fit the head of one seed, and return its record."""
        folder, network = self._folder(recipe), self.encoder.fresh()
        under_way.begin()
        under_way.run_phase(network, PHASE, recipe.finetuning)
        under_way.draw()
        if under_way.writes:
            seeds = [one.seed for one in self.recipes]
            trained = replace(self.encoder, headed=network)
            write_network(folder, self.encoder, trained, recipe, seeds)
            record = self._record(recipe, job, under_way, network)
            write_head_card(folder, self.encoder, recipe, record)
            write_record(folder, replace(record, artifacts=hashes(folder)))
            discard_checkpoint(folder)
        job.fabric.barrier()
        written = read_record(folder)
        assert written is not None, "the first process writes it before it lets others go on"
        return written

    def _record(
        self, recipe: HeadRecipe, job: Job, under_way: UnderWay, network: nn.Module
    ) -> TrainingRecord:
        """Return what a finished head is and reached."""
        record = training_record(
            f"{self.encoder.name}-{recipe.method}",
            *(recipe, job, network),
            selected=under_way.selected,
            seconds=under_way.seconds,
            weights_sha256=sha256_of_file(self._folder(recipe) / WEIGHTS),
        )
        return replace(
            record,
            command=self.command,
            files=tuple(path.name for path in self.files),
            notes=self.images.notes,
            test_images=self.images.test_images,
        )


def _of_seed(row: Epoch, recipe: HeadRecipe) -> Epoch:
    """Return a row of the log as those who watch all seeds are told it."""
    return replace(row, phase=recipe.full_name)
