"""How well linear probes do: on clean images, on transferred ones, and attacked themselves."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from clbench.probes.interface import Attack, Labelled, Probed
from clbench.probes.layers import MOST_STAGES, find_taps, quarter_ends
from clbench.probes.linear.fit import BATCH, FittedProbe, ProbedNetwork, fit_probes, run_through
from clbench.probes.similarity.gram import FEWEST
from clbench.probes.similarity.hsic import TOO_FEW
from clbench.probes.similarity.representations import Inputs
from clbench.runtime.as_found import left_as_found
from clbench.runtime.determinism import exact_arithmetic
from clbench.schema.estimate import Estimate, proportion, undefined
from clbench.schema.threat_model import ThreatModel

KINDS = ("clean", "adv", "adaptive")
"""What a probe is scored on: clean images; those made against the whole network, which were to
fool that and not the probe; and those made against the probe itself."""

CALM = 10.0
"""The widest margin of logits that an attack sees. Beyond 16 the cross-entropy of single precision
is exactly zero, and its gradient no longer points to the boundary."""

NO_ADVERSARIAL = "no adversarial images were given"
NO_ATTACK = "no attack was given"
NO_TAP = "the network has no such tap"
NO_TRAINING = "no training images were given"

COLUMNS = tuple(f"probe_stage{k}_{kind}" for k in range(1, MOST_STAGES + 1) for kind in KINDS)


class TapScores(NamedTuple):
    """The accuracies of one probe, ``probe_TAP_clean`` and so on, with Wilson intervals."""

    tap: str
    clean: Estimate
    adv: Estimate
    adaptive: Estimate

    @property
    def measures(self) -> tuple[Estimate, ...]:
        """All three, in the order of ``KINDS``."""
        return self[1:]


def layer_probe_columns(probed: Probed) -> list[Estimate]:
    """Return one measure for each of ``COLUMNS``; only the ends of the stages are probed."""
    n, taps = len(probed.clean.labels), find_taps(probed.network)
    ends = {end: taps[end] for end in quarter_ends(list(taps))}
    if probed.training is None or not ends:
        reason = NO_TAP if probed.training else NO_TRAINING
        return [undefined(column, n, reason) for column in COLUMNS]
    probes = fit_probes(
        *(probed.network, *probed.training, ends),
        seed=probed.seed,
        device=probed.device,
        on_progress=partial(probed.watch, "fitting layer probes"),
    )
    scores = score_probes(
        *(probes, probed.clean, probed.adversarial),
        attacks=probed.attacks,
        threat_model=probed.threat_model,
        seed=probed.seed,
        device=probed.device,
        on_progress=partial(probed.watch, "attacking layer probes"),
    )
    return stage_columns(scores, n)


def score_probes(
    probes: Sequence[FittedProbe],
    clean: Labelled,
    adversarial: Float[Tensor, "n c h w"] | None = None,
    *,
    attacks: Sequence[Attack] = (),
    threat_model: ThreatModel,
    seed: int,
    device: torch.device,
    batch_size: int = BATCH,
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> list[TapScores]:
    """Return the accuracies of every probe, as shares of all examples.

    ``adv`` counts what is right on the adversarial images, whether or not it was right before. They
    were made to fool the last layer: a tap in the middle seems more robust than it is. ``adaptive``
    counts what is right on both images and stays right when the probe itself is attacked, through
    the network; it is never above the others.

    Args:
        probes: Those of one network, which is on ``device`` and left as found.
        clean: Images and labels that no probe was fitted on or chosen by.
        adversarial: The same examples in the same order, attacked through the whole network.
        attacks: What attacks every probe, each only what those before it left standing: a short
            one first saves time. Without any, there are no adaptive accuracies.
        threat_model: What the attacks may do.
        seed: Decides, with the place of an example in ``clean``, the random numbers of attacks.
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
    scores: list[TapScores] = []
    with left_as_found(networks, seed=seed), exact_arithmetic(), torch.no_grad():
        for probe in probes:
            scores.append(scoring.score(probe))
            on_progress(len(scores), len(probes))
    return scores


def stage_columns(scores: Sequence[TapScores], n: int) -> list[Estimate]:
    """Return what the ends of the stages score, one measure for each of ``COLUMNS``.

    As with the CKA columns, a network of more than four stages shows the ends of its four quarters,
    and one of fewer has a reason where it has no such tap. ``n`` is the number of examples.
    """
    by_tap = {score.tap: score for score in scores}
    found = {
        f"probe_stage{k}_{kind}": measure
        for k, end in enumerate(quarter_ends(list(by_tap)), start=1)
        for kind, measure in zip(KINDS, by_tap[end].measures, strict=True)
    }
    return [
        replace(found[column], name=column) if column in found else undefined(column, n, NO_TAP)
        for column in COLUMNS
    ]


class _Scoring(NamedTuple):
    """What all probes are scored on."""

    clean: Labelled
    adversarial: Float[Tensor, "n c h w"] | None
    attacks: Sequence[Attack]
    threat_model: ThreatModel
    seed: int
    device: torch.device
    batch_size: int

    def score(self, probe: FittedProbe) -> TapScores:
        """Return the accuracies of one probe."""
        n = len(self.clean.labels)
        if probe.network is None or n < FEWEST:
            return _scores(probe.tap, n, *[probe.reason or TOO_FEW] * len(KINDS))
        right = self._right(probe.network, self.clean.images)
        standing = right
        adv: int | str = NO_ADVERSARIAL
        adaptive: int | str = NO_ATTACK
        if self.adversarial is not None:
            transferred = self._right(probe.network, self.adversarial)
            standing, adv = right & transferred, int(transferred.sum())
        if self.attacks:
            adaptive = self._survivors(probe.network, standing)
        return _scores(probe.tap, n, int(right.sum()), adv, adaptive)

    def _right(self, network: nn.Module, images: Float[Tensor, "n c h w"]) -> Bool[Tensor, " n"]:
        logits = run_through(network, images, device=self.device, batch_size=self.batch_size)
        return _are_right(logits, self.clean.labels.cpu())

    def _survivors(self, network: ProbedNetwork, right: Bool[Tensor, " n"]) -> int:
        """Return how many examples stay right; those that are wrong already are not attacked."""
        standing, target = right.nonzero()[:, 0], _Calm(network.folded())
        for attack in self.attacks:
            parts = torch.split(standing, self.batch_size)
            standing = torch.cat([self._resist(attack, target, network, part) for part in parts])
        return len(standing)

    def _resist(
        self, attack: Attack, target: nn.Module, network: nn.Module, index: Int[Tensor, " m"]
    ) -> Int[Tensor, " s"]:
        """Return which examples ``network`` is right about after an attack on ``target``."""
        if not len(index):
            return index
        images = self.clean.images[index].to(self.device)
        labels = self.clean.labels[index].to(self.device)
        with torch.enable_grad():
            found = attack(target, images, labels, self.threat_model, seed=self.seed, index=index)
        return index[_are_right(network(found), labels).cpu()]


class _Calm(nn.Module):
    """A network whose logits are divided, example by example, until no margin is above ``CALM``.

    Classes stay the same, and so do logits of smaller margins.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k"]:
        logits: Tensor = self.network(images)
        highest = logits.detach().topk(2, dim=1).values
        margins = highest[:, :1] - highest[:, 1:]
        return logits / (margins / CALM).clamp_min(1)


def _scores(tap: str, n: int, *counts_or_reasons: int | str) -> TapScores:
    measures = (
        proportion(f"probe_{tap}_{kind}", found, n)
        if isinstance(found, int)
        else undefined(f"probe_{tap}_{kind}", n, found)
        for kind, found in zip(KINDS, counts_or_reasons, strict=True)
    )
    return TapScores(tap, *measures)


def _are_right(logits: Float[Tensor, "n k"], labels: Int[Tensor, " n"]) -> Bool[Tensor, " n"]:
    """Return which highest logits are those of the labels; none where a logit is NaN."""
    return (logits.argmax(dim=1) == labels) & ~logits.isnan().any(dim=1)
