"""What of a recipe does not go with its images or processes, found before anything is trained."""

import math

from clbench.data.image_set import ImageSet
from clbench.schema.errors import BadValueError
from clbench.schema.threat_model import ThreatModel, format_eps
from clbench.training.augmentation import Views
from clbench.training.recipe import Phase, Trainable
from clbench.training.sampling import Sampler

_COLOUR = 3
_MOST_ROWS = 2**15
"""A matrix of all against all takes 4 GB then."""

_FEWEST = 2
"""Images that batch norms and contrastive losses compare at least."""


def check_fits(recipe: Trainable, images: ImageSet, *, processes: int = 1) -> None:
    """Check that every phase can be trained on such images by so many processes.

    Raises:
        BadValueError: A view, a ball or a batch does not fit; the message names the field.
    """
    _check_ball("validation", recipe.validation.threat_model, images)
    for name, phase in recipe.phases.items():
        _check_views(f"{name}.views", phase.views, images)
        if phase.adversary:
            ball = ThreatModel(phase.adversary.norm, phase.adversary.eps)
            _check_ball(f"{name}.adversary", ball, images)
        _check_batches(name, phase, images, seed=recipe.seed, processes=processes)


def _check_views(place: str, views: Views, images: ImageSet) -> None:
    channels, *sides = images.images.shape[1:]
    for field in ("jitter", "grayscale"):
        if getattr(views, field) and channels != _COLOUR:
            raise BadValueError(
                f"{place}.{field} needs images in colour, got {getattr(views, field)!r} for "
                f"{channels} channel{'s' * (channels > 1)}; set it to 0"
            )
    for field in ("shift", "crop_padding"):
        if getattr(views, field) >= min(sides):
            raise BadValueError(
                f"{place}.{field} must be less than the image, {min(sides)} pixels, got "
                f"{getattr(views, field)!r}"
            )


def _check_ball(place: str, ball: ThreatModel, images: ImageSet) -> None:
    """Check that a ball does not hold every image there is."""
    pixels = math.prod(images.images.shape[1:])
    farthest = {"Linf": 1.0, "L2": math.sqrt(pixels), "L1": float(pixels)}[ball.norm]
    if ball.eps > farthest:
        raise BadValueError(
            f"{place}.eps must be at most {farthest:.4g}, where {ball.norm} reaches every image, "
            f"got {format_eps(ball.eps)!r}"
        )


def _check_batches(name: str, phase: Phase, images: ImageSet, *, seed: int, processes: int) -> None:
    rows = phase.objective.views * min(phase.batch_size, len(images))
    if phase.projected and rows > _MOST_ROWS:
        raise BadValueError(
            f"{name} compares {rows} views with each other, at most {_MOST_ROWS} are possible; "
            f"lower {name}.batch_size, got {phase.batch_size}"
        )
    least = max(processes, _FEWEST if phase.trains == "everything" else 1)
    for what, n in Sampler(images.labels, phase, seed=seed).parts.items():
        if n < least:
            raise BadValueError(
                f"{name} has {n} {what} in a batch, and needs {least} for {processes} "
                f"process{'es' * (processes > 1)}; raise {name}.batch_size (got "
                f"{phase.batch_size}), or give more images"
            )
