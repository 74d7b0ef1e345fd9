"""An evaluation that is planned, not run: its parts measured, and what follows from them."""

import math
from dataclasses import replace

import torch
from torch import nn

from clbench.attacks.registry import bind, plan_attack
from clbench.data.image_set import ImageSet
from clbench.evaluation.attacked_model import AttackedModel
from clbench.evaluation.confirm import Batch
from clbench.evaluation.pace import Bench
from clbench.evaluation.plan import Look, Memory, Plan, about, at_most, intervals
from clbench.evaluation.result import EvaluationResult
from clbench.evaluation.run import evaluate
from clbench.evaluation.session import Session
from clbench.runtime.as_found import left_as_found
from clbench.runtime.determinism import exact_arithmetic
from clbench.runtime.devices import device_name, room_for
from clbench.runtime.tiles import kept_bytes, tile_of

_LOOK_STEPS = 10

_AT_WORK = 2
"""Gradients and an attack's own copies need about as much room as a backward pass keeps."""


def planned(session: Session) -> Plan:
    """Return what the evaluation of a session would cost; this takes a few seconds.

    Raises:
        ModelError: The network fails under attack.
    """
    network, images, spec = session.model.network, session.images, session.plan.spec
    steps, threat = bind(session.plan, images.n_classes), session.protocol.threat_model
    size = min(session.batch_size, len(images))
    tile = min(len(images), tile_of(images.images[:1], session.device))
    attacked = _shortly_attacked(session, tile)
    right = int((attacked.clean_pred == attacked.labels).sum())
    look = Look(tile, right, attacked.broken_by.count(""), _LOOK_STEPS)
    few = min(size, tile)
    with (
        room_for(few, session.device),
        exact_arithmetic(),
        left_as_found(network, seed=session.protocol.seed),
    ):
        model = AttackedModel(network, session.precision)
        batch = Batch.at(images, torch.arange(few), session.device)
        batch = replace(batch, labels=attacked.clean_pred[:few].clamp_min(0).to(session.device))
        model.speed_up(batch.images, math.fsum(step.cost for step in steps) * len(images))
        model.ask_again(batch.images)
        bench = Bench(model, batch, images.n_classes, threat, session.protocol.seed)
        clean = bench.of_clean()
        paces = [bench.of(step) for step in steps] if threat.eps > 0 else []
        memory = _memory(network, images, size)
    return Plan(
        model=session.model.name,
        dataset=images.name,
        n=len(images),
        attack=spec.name,
        backend=session.plan.backend,
        threat_model=str(threat),
        device=device_name(session.device),
        precision=session.precision,
        batch_size=size,
        guessed=tuple(pace.name for pace in paces if pace.guessed),
        look=look,
        most=at_most([clean, *paces], len(images)),
        about=(clean.cost(float(len(images))), *about(paces, len(images), look)),
        memory=memory,
        intervals=intervals(look.standing / look.n, len(images)),
    )


def _shortly_attacked(session: Session, few: int) -> EvaluationResult:
    """Return how the first images fare under a short attack in the ball of the protocol."""
    images, threat = session.images.head(few), session.protocol.threat_model
    short = plan_attack(f"pgd,steps={_LOOK_STEPS}", threat.norm, images.n_classes, "native")
    return evaluate(
        session.model.network,
        images,
        bind(short, images.n_classes),
        threat,
        seed=session.protocol.seed,
        batch_size=few,
        device=session.device,
        precision=session.precision,
        keep_adversarial=False,
    )


def _memory(network: nn.Module, images: ImageSet, size: int) -> Memory:
    """Return what a batch of so many images takes, and what is kept of all."""
    device = next((one.device for one in network.parameters()), torch.device("cpu"))
    kept = kept_bytes(network, images.images[:1].to(device))
    weights = sum(one.nbytes for one in (*network.parameters(), *network.buffers()))
    return Memory(2 * images.images.nbytes, 2 * weights, _AT_WORK * kept * size)
