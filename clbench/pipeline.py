"""One evaluation, from what the user asked to the leaderboard."""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from clbench.attacks.interface import AttackPlan
from clbench.attacks.registry import plan_attack
from clbench.data.image_set import ImageSet
from clbench.evaluation.attacked_model import Precision
from clbench.evaluation.reliability import is_unreliable
from clbench.evaluation.run import PROBE_ATTACK, QUICK_ATTACK, Outcome, Progress, evaluate, perturb
from clbench.leaderboard import table
from clbench.loading import (
    Setup,
    data_entry,
    load_checked,
    load_data,
    load_training,
    model_entry,
    settle,
)
from clbench.models import LoadedModel
from clbench.probes.interface import Probed
from clbench.probes.table import PROBES, ProbeRow
from clbench.runtime.devices import device_name, find_device
from clbench.schema import records
from clbench.schema.estimate import Estimate
from clbench.schema.files import make_folder, write_atomically
from clbench.schema.progress import OnProgress
from clbench.schema.protocol import Protocol
from clbench.schema.provenance import commit, utc_now, versions
from clbench.schema.records import Places, Record, Run
from clbench.schema.threat_model import ThreatModel, format_eps


@dataclass(frozen=True)
class Request(Setup):
    """What a user asked for, as typed; None leaves a value to the protocol."""

    model: str
    weights: Path | None = None
    backend: str = "auto"
    batch_size: int | None = None
    device: str = "auto"
    precision: Precision = "float32"
    out: Path = Path("results")
    probe: bool = True
    restart: bool = False
    save_adversarial: bool = False


@dataclass(frozen=True)
class Finished:
    """A record, where its files are, and whether it was there before."""

    record: Record
    places: Places
    reused: bool


def run(
    request: Request,
    on_progress: Callable[[Progress], None] | None = None,
    on_probe: OnProgress = lambda _what, _done, _total: None,
) -> Finished:
    """Evaluate what ``request`` asks for, write its record and evidence, rebuild the leaderboard.

    An identical finished run is returned as it is, unless a restart was asked for; an unfinished
    one goes on from its last finished batch. ``on_progress`` is told how far the attacks are, and
    ``on_probe`` how far the probes are.

    Raises:
        ClbenchError: The request, the data, the model or the place to write cannot be used.
    """
    protocol = settle(request)
    device = find_device(request.device)
    images = load_data(request, protocol)
    model, image_set = load_checked(
        request.model, request, protocol, images, device, weights=request.weights
    )
    training = load_training(request, protocol, image_set)
    threat_model = protocol.threat_model
    plan = plan_attack(protocol.attack, threat_model.norm, image_set.n_classes, request.backend)
    this = _describe(model, image_set, threat_model, plan, protocol.seed)
    places = records.places(request.out, this, replace_damaged=request.restart)
    if known := _already_there(places, request):
        return Finished(known, places, reused=True)
    _make_room(places, restart=request.restart)
    outcome = evaluate(
        model.network,
        image_set,
        plan,
        threat_model,
        seed=protocol.seed,
        batch_size=request.batch_size,
        device=device,
        precision=request.precision,
        progress_file=places.progress,
        key=this.identity,
        on_progress=on_progress,
    )
    probed = _probe(
        *(_wanted(request), model, image_set, protocol),
        training=training,
        batch_size=outcome.batch_size,
        device=device,
        on_progress=on_probe,
    )
    finished = _record(
        this=this,
        protocol=protocol,
        model=model,
        outcome=outcome,
        probed=probed,
        device=device,
        precision=request.precision,
    )
    write_atomically(
        places.evidence, _evidence(outcome, image_set, adversarial=request.save_adversarial)
    )
    records.write(finished, places.record)
    places.progress.unlink(missing_ok=True)
    table.build(request.out)
    return Finished(finished, places, reused=False)


def _describe(
    model: LoadedModel, image_set: ImageSet, threat_model: ThreatModel, plan: AttackPlan, seed: int
) -> Run:
    return Run(
        model_entry(model),
        data_entry(image_set),
        records.ThreatEntry(threat_model.norm, format_eps(threat_model.eps)),
        records.AttackEntry(plan.name, plan.backend, plan.parameters, plan.hash),
        seed,
    )


def _already_there(places: Places, request: Request) -> Record | None:
    """Return the identical finished run, unless it lacks what is asked for now."""
    if request.restart or not places.record.exists():
        return None
    known = records.read(places.record)
    enough = all(known.measure(row.columns[0]) for row in _wanted(request))
    if request.save_adversarial:
        enough = enough and _holds(places.evidence, "adversarial")
    return known if enough else None


def _holds(evidence: Path, name: str) -> bool:
    if not evidence.exists():
        return False
    with np.load(evidence) as arrays:
        return name in arrays


def _make_room(places: Places, *, restart: bool) -> None:
    """Find out before the attacks, not after, whether every file can be written."""
    if restart:
        places.progress.unlink(missing_ok=True)
    for place in places:
        make_folder(place.parent)


def _wanted(request: Request) -> list[ProbeRow]:
    """Return the probes that are asked for."""
    return [
        row
        for row in PROBES.values()
        if (request.layer_probes if row.on_request else request.probe)
    ]


def _probe(
    rows: Sequence[ProbeRow],
    model: LoadedModel,
    image_set: ImageSet,
    protocol: Protocol,
    *,
    training: tuple[ImageSet, ImageSet] | None,
    batch_size: int,
    device: torch.device,
    on_progress: OnProgress,
) -> tuple[Estimate, ...]:
    if not rows:
        return ()
    adversarial = perturb(
        model.network,
        image_set,
        protocol.threat_model,
        seed=protocol.seed,
        batch_size=batch_size,
        device=device,
        on_progress=partial(on_progress, "attacking for the probes"),
    )
    probed = Probed(
        network=model.network,
        clean=image_set,
        adversarial=adversarial,
        device=device,
        threat_model=protocol.threat_model,
        attacks=(QUICK_ATTACK, PROBE_ATTACK),
        training=training,
        seed=protocol.seed,
        on_progress=on_progress,
    )
    return tuple(measure for row in rows for measure in row.probe(probed))


def _record(
    *,
    this: Run,
    protocol: Protocol,
    model: LoadedModel,
    outcome: Outcome,
    probed: tuple[Estimate, ...],
    device: torch.device,
    precision: str,
) -> Record:
    flags = tuple(dict.fromkeys((*model.flags, *outcome.flags)))
    return Record(
        schema_version=records.SCHEMA_VERSION,
        protocol=protocol.name,
        model=this.model,
        data=this.data,
        threat_model=this.threat_model,
        attack=this.attack,
        measures=(*outcome.measures, *probed),
        flags=flags,
        unreliable=is_unreliable(flags),
        seed=this.seed,
        counts=records.Counts(outcome.forward_passes, outcome.backward_passes),
        wall_s=outcome.seconds,
        device=device_name(device),
        precision=precision,
        batch_size=outcome.batch_size,
        versions=versions(this.attack.backend),
        commit=commit(),
        created=utc_now(),
    )


def _evidence(outcome: Outcome, image_set: ImageSet, *, adversarial: bool) -> bytes:
    """Return what happened to every example, as the bytes of an ``.npz`` file."""
    arrays = {
        "index": np.arange(len(image_set)),
        "label": image_set.labels.numpy(),
        "clean_pred": outcome.clean_pred.numpy(),
        "adv_pred": outcome.adv_pred.numpy(),
        "broken_by": np.array(outcome.broken_by),
    }
    if adversarial:
        arrays["adversarial"] = outcome.adversarial.numpy()
    file = io.BytesIO()
    np.savez_compressed(file, allow_pickle=False, **arrays)
    return file.getvalue()
