"""Linear probes of every model that is compared."""

from collections.abc import Iterator

from clbench.analysis.models import Adversarial, ComparedModels
from clbench.analysis.result import Accuracy
from clbench.attacks.registry import attack_of
from clbench.probes.linear.fit import fit_probes
from clbench.probes.linear.score import LayerScores, score_probes
from clbench.schema.progress import OnProgress, naming
from clbench.schema.records import PROBE_SCORES


def linear_accuracies(
    compared: ComparedModels, adversarial: Adversarial, pooling: str, on_progress: OnProgress
) -> tuple[Accuracy, ...]:
    """Return how often linear classifiers of the features at each layer are right, by model.

    Nothing, where there are no images to fit on.
    """
    return tuple(
        Accuracy(name, scores.layer, score, one.value, one.low, one.high, one.n, one.reason)
        for name, scores in _scores(compared, adversarial, pooling, on_progress)
        for score, one in zip(PROBE_SCORES, scores.estimates, strict=True)
    )


def _scores(
    compared: ComparedModels, adversarial: Adversarial, pooling: str, on_progress: OnProgress
) -> Iterator[tuple[str, LayerScores]]:
    if compared.training is None:
        return
    protocol, device = compared.protocol, compared.device
    train, validation = compared.training
    for name, model in compared.models.items():
        probes = fit_probes(
            model.network,
            train,
            validation,
            layers=compared.layers[name],
            pooling=pooling,
            seed=protocol.seed,
            device=device,
            on_progress=naming(name, on_progress),
        )
        scores = score_probes(
            probes,
            compared.image_set,
            adversarial[name],
            attacks=[attack_of(plan) for plan in (compared.quick, compared.attack)],
            threat_model=protocol.threat_model,
            seed=protocol.seed,
            device=device,
            on_progress=naming(name, on_progress),
        )
        yield from ((name, score) for score in scores)
