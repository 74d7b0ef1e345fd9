"""How well linear probes do: on clean images, on transferred ones, and attacked themselves."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from clbench.attacks.interface import Attack
from clbench.data.image_set import ImageSet
from clbench.data.stored import Images
from clbench.evaluation.attacked_model import classes_of
from clbench.evaluation.confirm import Confirmed, confirm
from clbench.probes.interface import Probed
from clbench.probes.layers import find_layers, quarter_ends
from clbench.probes.linear.fit import BATCH, FittedProbe, ProbedNetwork, fit_probes, run_through
from clbench.probes.similarity.gram import FEWEST
from clbench.probes.similarity.representations import Inputs
from clbench.probes.similarity.scores import TOO_FEW
from clbench.runtime.as_found import left_as_found
from clbench.runtime.determinism import exact_arithmetic
from clbench.schema.estimate import Estimate, proportion, undefined
from clbench.schema.progress import OnProgress, not_shown
from clbench.schema.records import LINEAR_PROBE_COLUMNS, NO_LAYER, PROBE_SCORES
from clbench.schema.threat_model import ThreatModel

WIDEST_MARGIN = 10.0
"""The widest margin of logits that an attack sees. Beyond 16 the cross-entropy of single precision
is exactly zero, and its gradient no longer points to the boundary."""

NOT_ALLOWED = ("nan_adversarial", "out_of_bounds")
"""Flags of images that are not finite, outside of the ball, or outside of [0, 1]."""

NO_ADVERSARIAL = "no adversarial images were given"
NO_ATTACK = "no attack was given"
NO_TRAINING = "no training images were given"


class LayerScores(NamedTuple):
    """The accuracies of one probe, ``probe_LAYER_clean`` and so on, with Wilson intervals."""

    layer: str
    clean: Estimate
    adv: Estimate
    adaptive: Estimate

    @property
    def estimates(self) -> tuple[Estimate, ...]:
        """All three, in the order of ``PROBE_SCORES``."""
        return self[1:]


def linear_probe_columns(probed: Probed) -> list[Estimate]:
    """Return an estimate for each of ``LINEAR_PROBE_COLUMNS``: of the ends of the stages only."""
    n, layers = len(probed.clean.labels), find_layers(probed.network)
    ends = {end: layers[end] for end in quarter_ends(list(layers))}
    if probed.training is None or not ends:
        reason = NO_LAYER if probed.training else NO_TRAINING
        return [undefined(column, n, reason) for column in LINEAR_PROBE_COLUMNS]
    probes = fit_probes(
        probed.network,
        train=probed.training[0],
        validation=probed.training[1],
        layers=ends,
        seed=probed.seed,
        device=probed.device,
        on_progress=probed.on_progress,
    )
    scores = score_probes(
        probes,
        probed.clean,
        probed.adversarial,
        attacks=probed.attacks,
        threat_model=probed.threat_model,
        seed=probed.seed,
        device=probed.device,
        on_progress=probed.on_progress,
    )
    return stage_columns(scores, n)


def score_probes(
    probes: Sequence[FittedProbe],
    clean: ImageSet,
    adversarial: Images | None = None,
    *,
    attacks: Sequence[Attack] = (),
    threat_model: ThreatModel,
    seed: int,
    device: torch.device,
    batch_size: int = BATCH,
    on_progress: OnProgress = not_shown,
) -> list[LayerScores]:
    """Return the accuracies of every probe, as shares of all examples.

    ``adv`` counts what is right on the adversarial images, whether or not it was right before. They
    were made to fool the last layer: a layer in the middle seems more robust than it is.
    ``adaptive`` counts what is right on both images and stays right when the probe itself is
    attacked, through the network; it is never above the others. What an attack returns that is not
    allowed breaks nothing, and is counted in the reason.

    Args:
        probes: Those of one network, which is on ``device`` and left as found.
        clean: Images and labels that no probe was fitted on or chosen by.
        adversarial: The same examples in the same order, attacked through the whole network.
        attacks: What attacks every probe, each only where the probe withstood those before it: a
            short one first saves time. Without any, there are no adaptive accuracies.
        threat_model: What the attacks may do.
        seed: Decides, with the place of an example in its data set, the random numbers of attacks.
        device: Where the images are moved to.
        batch_size: Images that are classified or attacked at once.
        on_progress: Told after every probe how many are done, and how many there are.

    Returns:
        One for every probe, in their order; NaN with a reason where the probe has one, for fewer
        than four examples, and for what was not given.

    Raises:
        BadValueError: The adversarial images have another shape or order than the clean ones.
    """
    if adversarial is not None:
        Inputs(clean.images, "clean").attacked(adversarial, against="")  # refuses another order
    networks = nn.ModuleList(probe.network for probe in probes if probe.network)
    scoring = _Scoring(clean, adversarial, attacks, threat_model, seed, device, batch_size)
    scores: list[LayerScores] = []
    with left_as_found(networks, seed=seed), exact_arithmetic(), torch.no_grad():
        for probe in probes:
            scores.append(scoring.score(probe))
            on_progress("attacking linear probes", len(scores), len(probes))
    return scores


def stage_columns(scores: Sequence[LayerScores], n: int) -> list[Estimate]:
    """Return what the ends of the stages score, one estimate for each of ``LINEAR_PROBE_COLUMNS``.

    As with the CKA columns, a network of more than four stages shows the ends of its four quarters,
    and one of fewer has a reason where it has no such layer. ``n`` is the number of examples.
    """
    by_layer = {score.layer: score for score in scores}
    found = {
        f"probe_stage{k}_{score}": estimate
        for k, end in enumerate(quarter_ends(list(by_layer)), start=1)
        for score, estimate in zip(PROBE_SCORES, by_layer[end].estimates, strict=True)
    }
    return [
        replace(found[column], name=column) if column in found else undefined(column, n, NO_LAYER)
        for column in LINEAR_PROBE_COLUMNS
    ]


class _Scoring(NamedTuple):
    """What all probes are scored on."""

    clean: ImageSet
    adversarial: Images | None
    attacks: Sequence[Attack]
    threat_model: ThreatModel
    seed: int
    device: torch.device
    batch_size: int

    def score(self, probe: FittedProbe) -> LayerScores:
        """Return the accuracies of one probe."""
        n = len(self.clean.labels)
        if probe.network is None or n < FEWEST:
            reason = probe.reason or TOO_FEW
            return _scores(probe.layer, n, reason, reason, reason)
        right = self._right(probe.network, self.clean.images)
        robust = right
        adv: int | str = NO_ADVERSARIAL
        adaptive: int | str = NO_ATTACK
        if self.adversarial is not None:
            transferred = self._right(probe.network, self.adversarial)
            robust, adv = right & transferred, int(transferred.sum())
        refused = 0
        if self.attacks:
            adaptive, refused = self._survivors(probe.network, robust)
        scores = _scores(probe.layer, n, int(right.sum()), adv, adaptive)
        if not refused:
            return scores
        why = f"{refused} images that attacks returned are not allowed: they break nothing"
        return scores._replace(adaptive=replace(scores.adaptive, reason=why))

    def _right(self, network: nn.Module, images: Images) -> Bool[Tensor, " n"]:
        logits = run_through(network, images, device=self.device, batch_size=self.batch_size)
        return classes_of(logits) == self.clean.labels.cpu()

    def _survivors(self, network: ProbedNetwork, right: Bool[Tensor, " n"]) -> tuple[int, int]:
        """Return how many examples stay right, and how many attacked images do not count.

        Examples that are wrong already are not attacked.
        """
        robust, target = right.nonzero()[:, 0], _BoundedMargin(network.folded())
        refused = 0
        for attack in self.attacks:
            if not len(robust):
                break
            left = []
            for pending in torch.split(robust, self.batch_size):
                confirmed = self._attack(attack, target, network, pending)
                left.append(pending[~confirmed.broken.cpu()])
                refused += sum(confirmed.flags.get(flag, 0) for flag in NOT_ALLOWED)
            robust = torch.cat(left)
        return len(robust), refused

    def _attack(
        self, attack: Attack, target: nn.Module, network: nn.Module, pending: Int[Tensor, " m"]
    ) -> Confirmed:
        """Attack ``target`` at some examples, and return what ``network`` says of the result."""
        images = self.clean.images[pending].to(self.device)
        labels = self.clean.labels[pending].to(self.device)
        index = self.clean.index[pending]
        with torch.enable_grad():
            returned = attack(
                target, images, labels, self.threat_model, seed=self.seed, index=index
            )
        return confirm(
            lambda some: classes_of(network(some)),
            images,
            returned.detach(),
            labels,
            self.threat_model,
        )


class _BoundedMargin(nn.Module):
    """A network whose logits are divided until no margin is above ``WIDEST_MARGIN``.

    That is done example by example: classes stay the same, and so do logits of smaller margins.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k"]:
        logits: Tensor = self.network(images)
        highest = logits.detach().topk(2, dim=1).values
        margins = highest[:, :1] - highest[:, 1:]
        return logits / (margins / WIDEST_MARGIN).clamp_min(1)


def _scores(
    layer: str, n: int, clean: int | str, adv: int | str, adaptive: int | str
) -> LayerScores:
    """Return accuracies from how many are right, or from why that is not known."""

    def estimate(score: str, found: int | str) -> Estimate:
        name = f"probe_{layer}_{score}"
        return proportion(name, found, n) if isinstance(found, int) else undefined(name, n, found)

    return LayerScores(
        layer,
        clean=estimate("clean", clean),
        adv=estimate("adv", adv),
        adaptive=estimate("adaptive", adaptive),
    )
