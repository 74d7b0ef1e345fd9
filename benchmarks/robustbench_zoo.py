"""Every entry of RobustBench's model zoo, built with random weights and run through our own door.

``python -m benchmarks.robustbench_zoo`` loads what is not there yet, which takes half an hour, as
``--model robustbench:THREAT-MODEL/NAME`` does, with a file of random weights of its architecture in
the place of the one that would be fetched; runs it on two images of the right size; and prints the
table. Results are kept in ``benchmarks/results``. ``--only TEXT`` loads those whose names hold it.
"""

import gc
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
import typer
from torch import nn

from clbench.data.readers.imagenet import Preprocessing
from clbench.interop.robustbench import Entry, entries
from clbench.models.load import load_model
from clbench.schema.errors import describe

RESULTS = Path(__file__).parent / "results" / "robustbench_zoo.json"

CLASSES = {"cifar10": 10, "cifar100": 100, "imagenet": 1000}

LAST = ("Kireev2021Effectiveness", "Andriushchenko2020Understanding")
"""Files of these hold several networks."""


def row_of(entry: Entry) -> Mapping[str, Any]:
    """Return RobustBench's own row."""
    tables = sys.modules["robustbench.model_zoo"].model_dicts
    by_dataset = {key.value: table for key, table in tables.items()}
    by_threat = {key.value: table for key, table in by_dataset[entry.dataset].items()}
    row: Mapping[str, Any] = by_threat[entry.threat_model][entry.name]
    return row


def published(entry: Entry, network: nn.Module, member: int | None) -> Any:  # noqa: ANN401 - any checkpoint
    """Return the content of an entry's file, or of one of its files, laid out as published."""
    if member is None:
        inner = getattr(network, "model", network) if entry.dataset == "imagenet" else network
        content = inner.state_dict()
        return {"last": content} if entry.name.startswith(LAST) else content
    if entry.name.startswith("Bai2023Improving"):
        parts = network.comp_model
        if member < len(parts.models):
            return parts.models[member].state_dict()
        return {
            "state_dict": {
                "model": parts.policy_net.state_dict(),
                "bn": parts.bn.state_dict(),
            }
        }
    if entry.name.startswith("Bai2024MixedNUTS"):
        part = (network.std_model, network.rob_model)[member]
        return getattr(part, "model", part).state_dict()
    return network.models[member].state_dict()


@contextmanager
def random_weights(entry: Entry) -> Iterator[None]:
    """Answer downloads with random weights of the entry's own architecture."""
    utils = sys.modules["robustbench.utils"]

    def download(gdrive_id: str, path: Path | str) -> None:
        row = row_of(entry)
        members = row["gdrive_id"] if isinstance(row["gdrive_id"], list) else None
        member = members.index(gdrive_id) if members else None
        torch.save(published(entry, row["model"](), member), path)

    def of_torchvision(_weights: object, *_: object, **__: object) -> Any:  # noqa: ANN401 - a state dict
        return sys.modules["torchvision.models"].resnet50().state_dict()

    with (
        patch.object(utils, "download_gdrive_new", download),
        patch("timm.models._builder.load_pretrained", lambda *_, **__: None),
        patch("torchvision.models._api.WeightsEnum.get_state_dict", of_torchvision),
    ):
        yield


def shape_of(entry: Entry) -> tuple[int, int, int]:
    """Return channels, height and width of the images that an entry is evaluated on."""
    prepare = Preprocessing.of(entry.preprocessing) if entry.preprocessing else None
    side = prepare.side or prepare.scaled if prepare else 32
    return 3, side, side


def loaded(entry: Entry) -> dict[str, Any]:
    """Load an entry through our door, run it on two images, and return what there is to tell."""
    shape, started = shape_of(entry), time.perf_counter()
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder, random_weights(entry):
        os.chdir(folder)
        try:
            network = load_model(
                f"robustbench:{entry.threat_model}/{entry.name}",
                dataset=entry.dataset,
                n_classes=CLASSES[entry.dataset],
                shape=shape,
            ).network
        finally:
            os.chdir(before)
    images = torch.rand(2, *shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        logits = network(images)
    if logits.shape != (2, CLASSES[entry.dataset]):
        raise ValueError(f"its logits are {list(logits.shape)}")
    return {
        "parameters": sum(one.numel() for one in network.parameters()),
        "preprocessing": entry.preprocessing,
        "seconds": round(time.perf_counter() - started, 1),
    }


def run(only: str = "", again: bool = False) -> None:
    """Load what is not there yet, or what failed before where asked ``again``; print the table."""
    done: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for entry in entries():
        key = f"{entry.dataset}/{entry.threat_model}/{entry.name}"
        known = key in done and not (again and "error" in done[key])
        if known or only not in key:
            continue
        torch.manual_seed(0)
        try:
            done[key] = loaded(entry)
        except Exception as error:
            done[key] = {"error": describe(error)}
        gc.collect()
        print(key, done[key], flush=True)
        RESULTS.write_text(json.dumps(done, indent=1, sort_keys=True) + "\n")
    failed = {key: row["error"] for key, row in done.items() if "error" in row}
    print(f"{len(done) - len(failed)} of {len(entries())} entries are built, loaded and run")
    for key, error in failed.items():
        print(f"  {key}: {error}")


if __name__ == "__main__":
    typer.run(run)
