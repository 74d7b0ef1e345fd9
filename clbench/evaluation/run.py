"""Robust accuracy under attacks, one after the other, resumable after any interruption."""

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from clbench.attacks.interface import AttackStep
from clbench.attacks.native.pooled import Pooled
from clbench.data.image_set import ImageSet
from clbench.evaluation.attack_run import AttackRun
from clbench.evaluation.attacked_model import AttackedModel
from clbench.evaluation.certify import Certifier
from clbench.evaluation.kept import KeptImages
from clbench.evaluation.parts import DRAFT, SHARD, WHOLE, rows_of
from clbench.evaluation.progress import OnProgress, Saver
from clbench.evaluation.result import EvaluationResult, result_of
from clbench.evaluation.state import NOTHING_KNOWN, HeadStart
from clbench.runtime.as_found import left_as_found
from clbench.runtime.determinism import exact_arithmetic
from clbench.runtime.devices import room_for
from clbench.runtime.hashing import state_sha256
from clbench.runtime.precision import settle
from clbench.runtime.tiles import choose_batch_size, tile_of
from clbench.schema.errors import ModelError
from clbench.schema.files import sha256_of
from clbench.schema.names import EvidenceKind
from clbench.schema.numbers import read_batch_size
from clbench.schema.shard import Shard
from clbench.schema.threat_model import ThreatModel

LOGITS_KEPT = 8
"""Images whose logits tell a network from the same one after a change."""


def evaluate(
    network: nn.Module,
    images: ImageSet,
    steps: Sequence[AttackStep],
    threat_model: ThreatModel,
    *,
    seed: int,
    batch_size: int | str | None,
    device: torch.device | str,
    precision: str = "float32",
    flags: Sequence[str] = (),
    identity: str = "",
    progress_file: Path | None = None,
    shard: Shard | None = None,
    keep_adversarial: bool = True,
    evidence: EvidenceKind = "verdicts",
    draft: str = "",
    head_start: HeadStart = NOTHING_KNOWN,
    on_progress: OnProgress | None = None,
) -> EvaluationResult:
    """Attack ``network`` step by step, each step only where it is still robust.

    The network is moved to ``device``; otherwise it and all global random state are left as found.
    A run that was interrupted, however, goes on from ``progress_file`` and ends exactly as it
    would have without; the file stays, also after the end, for the caller to delete. A file that
    this run cannot go on from is set aside, and named in the log.

    Args:
        network: Takes images in [0, 1], returns logits.
        images: The examples.
        steps: What attacks them.
        threat_model: Which perturbations are allowed.
        seed: Decides, with each example's index, every random number.
        batch_size: Images attacked at once; None chooses by the network and the device.
        device: Where to run.
        precision: Of the attacks, "auto" for float32; every verdict is in float32.
        flags: What is known of the attack already.
        identity: What else tells this run from others, such as the attack's hash; its weights,
            data, threat model, seed, precision and batch size do anyway.
        progress_file: Where to keep what is done so far; the other shards' lies beside it.
        shard: Which of the examples to attack; all of them unless given.
        keep_adversarial: Whether the result has the adversarial images; they are kept in a file
            beside the progress, or in one without a name.
        evidence: Which of them the result has certificates of.
        draft: Kept with the progress.
        head_start: What a finished run knows of the first steps.
        on_progress: Called after every batch.

    Raises:
        BadValueError: A batch size below 1, a precision that there is not here, or more shards than
            examples.
        ModelError: The network does not return logits [n, classes], or the device has too little
            memory for one tile.
        StorageError: The progress cannot be saved.
    """
    size_wanted = read_batch_size(batch_size)
    device = torch.device(device)
    precision = settle(precision, device)
    network.to(device)
    with exact_arithmetic(), left_as_found(network, seed=seed):
        model = AttackedModel(network, precision)
        size = size_wanted or _automatic(model, images, steps, device)
        mine = images.shard(shard) if shard else images
        about = {DRAFT: draft, SHARD: str(shard or WHOLE)}
        kept = None
        if keep_adversarial or evidence != "verdicts":
            kept = KeptImages(images, mine, rows_of(progress_file) if progress_file else None)
        run = AttackRun(
            *(model, images, mine, steps, threat_model, seed, device, size, about, head_start),
            kept=kept,
        )
        decisive = (identity, state_sha256(network), str(threat_model), seed, precision, size)
        sign = sha256_of(json.dumps([*decisive, [step.name for step in steps]]).encode())
        logits = first_logits(network, images, device)
        with room_for(size, device):
            state = run.begin_or_go_on(sign, flags, logits, progress_file)
            with Saver(progress_file, lambda: run.to_bytes(state)) as saver:
                run.finish(state, saver, on_progress or (lambda _progress: None))
                if shard:
                    saver.save(force=True)  # it stays to be joined
            certifier = Certifier(model, mine, threat_model, identity, device, run.tile)
            certificates = certifier.certify(state, kept, evidence) if kept else None
    adversarial = kept.all(state) if kept and keep_adversarial else None
    return result_of(steps, state, size, adversarial, certificates)


def automatic_batch_size(
    network: nn.Module,
    images: ImageSet,
    steps: Sequence[AttackStep],
    device: torch.device | str,
    precision: str,
) -> int:
    """Return how many images to attack at once: one tile, or as many as a package has room for."""
    network.to(device)
    with exact_arithmetic(), left_as_found(network, seed=0):
        model = AttackedModel(network, precision)
        return _automatic(model, images, steps, device)


def _automatic(
    model: AttackedModel, images: ImageSet, steps: Sequence[AttackStep], device: torch.device | str
) -> int:
    if all(isinstance(step.attack, Pooled) for step in steps):
        return tile_of(images.images[:1], device)
    return choose_batch_size(model, images.images[:1].to(device))


def first_logits(
    network: nn.Module, images: ImageSet, device: torch.device | str
) -> Float[Tensor, "m k"]:
    """Return the logits of the first ``LOGITS_KEPT`` images, in eval mode and float32.

    Raises:
        ModelError: The network does not return logits [n, classes].
    """
    network.to(device)
    with exact_arithmetic(), left_as_found(network, seed=0), torch.no_grad():
        logits = network(images.images[:LOGITS_KEPT].to(device))
    wanted = [min(LOGITS_KEPT, len(images)), images.n_classes]
    shape = list(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
    if shape != wanted:
        raise ModelError(
            f"the model must return logits {wanted} for {wanted[0]} images, got {shape}"
        )
    found: Tensor = logits.float().cpu()
    return found
