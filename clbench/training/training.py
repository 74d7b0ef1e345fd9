"""A training of a recipe: its phases one after the other, and the backbone kept between them."""

from pathlib import Path

from clbench.data.image_set import ImageSet
from clbench.models import CifarResNet, build_backbone, load_weights
from clbench.runtime.seeding import randomness
from clbench.schema.dataclass_io import to_table
from clbench.schema.training_record import BACKBONE
from clbench.training.artifacts import hashes
from clbench.training.backbone import keep_backbone
from clbench.training.phases import Job
from clbench.training.recipe import Recipe
from clbench.training.under_way import OnEpoch, OnStart, UnderWay


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
        self._pretrained, self._on_start = pretrained, on_start
        settings = {
            "model": recipe.full_name,
            "recipe": to_table(recipe, defaults=False),
            "training images": job.train.sha256,
            "validation images": job.validation.sha256,
            "number of processes": job.fabric.world_size,
            "pretrained backbone": "" if pretrained is None else hashes(pretrained).get(BACKBONE),
        }
        self._under_way = UnderWay(recipe.full_name, settings, out, job, on_epoch=on_epoch)

    @property
    def selected(self) -> dict[str, int]:
        """The epoch kept of each phase that is over."""
        return self._under_way.selected

    @property
    def seconds(self) -> float:
        """The time spent so far, in seconds."""
        return self._under_way.seconds

    def run(self) -> CifarResNet:
        """Train, and return the network.

        Raises:
            ModelError: The loss is no longer a finite number.
            StorageError: The folder cannot be written.
        """
        recipe, under_way = self._recipe, self._under_way
        under_way.begin()
        reused = () if self._pretrained is None else ("pretraining",)
        phases = {name: phase for name, phase in recipe.phases.items() if name not in reused}
        if self._on_start:
            self._on_start(phases, list(under_way.rows))
        network = new_network(recipe, self._job.train)
        for name, phase in recipe.phases.items():
            if name in under_way.selected:
                continue  # the weights are in the checkpoint of the phase after it
            if name == "pretraining" and self._pretrained is not None:
                network.reset_classifier(0)
                load_weights(network, self._pretrained / BACKBONE)
            else:
                under_way.run_phase(network, name, phase)
            if name == "pretraining" and under_way.writes:
                keep_backbone(network, self._out, self._job.train, self._pretrained)
        under_way.draw()
        return network


def new_network(recipe: Recipe, images: ImageSet) -> CifarResNet:
    """Return the network of a recipe for such images, its weights drawn from the recipe's seed."""
    with randomness(recipe.seed):
        return build_backbone(
            recipe.backbone, in_chans=images.images.shape[1], num_classes=images.n_classes
        )
