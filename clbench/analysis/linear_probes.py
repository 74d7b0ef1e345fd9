"""Layer probes of every model that is compared."""

from collections.abc import Iterator
from functools import partial

from clbench.analysis.models import Adversarial, Subjects
from clbench.analysis.result import SCORES, Accuracy
from clbench.attacks.registry import attack_of
from clbench.probes.interface import Watch
from clbench.probes.linear.fit import fit_probes
from clbench.probes.linear.score import TapScores, score_probes


def layer_accuracies(
    subjects: Subjects, adversarial: Adversarial, extent: str, watch: Watch
) -> tuple[Accuracy, ...]:
    """Return how often linear classifiers of the features at each tap are right, by model.

    Nothing, where the subjects have no images to fit on.
    """
    return tuple(
        Accuracy(name, score.tap, kind, m.value, m.low, m.high, m.n, m.reason)
        for name, score in _scores(subjects, adversarial, extent, watch)
        for kind, m in zip(SCORES, score.measures, strict=True)
    )


def _scores(
    subjects: Subjects, adversarial: Adversarial, extent: str, watch: Watch
) -> Iterator[tuple[str, TapScores]]:
    if subjects.training is None:
        return
    protocol, device = subjects.protocol, subjects.device
    for name, model in subjects.models.items():
        probes = fit_probes(
            *(model.network, *subjects.training, subjects.taps[name]),
            extent=extent,
            seed=protocol.seed,
            device=device,
            on_progress=partial(watch, f"fitting layer probes of {name}"),
        )
        scores = score_probes(
            *(probes, subjects.image_set, adversarial[name]),
            attacks=[attack_of(plan) for plan in (subjects.quick, subjects.attack)],
            threat_model=protocol.threat_model,
            seed=protocol.seed,
            device=device,
            on_progress=partial(watch, f"attacking layer probes of {name}"),
        )
        yield from ((name, score) for score in scores)
