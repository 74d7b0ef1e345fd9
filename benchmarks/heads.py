"""Heads on encoders of the zoo by all three protocols: accuracies on validation images.

``python -m benchmarks.heads [--cifar10 FILE]`` fits and attacks what is not there yet and prints
the table of docs/heads.md; ``FILE`` holds CIFAR-10 training images. Heads under way are kept in
``runs/heads``, results in ``benchmarks/results/heads``, a file for each row.
"""

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, NamedTuple

import torch
import typer

import clbench
from clbench.data.image_set import ImageSet
from clbench.schema.head import METHODS
from clbench.schema.threat_model import parse_eps
from clbench.training.heads.images import head_images
from clbench.training.images import TrainingImages
from clbench.training.recipe import Validation
from clbench.training.validate import accuracy

RESULTS = Path(__file__).parent / "results" / "heads"
RUNS = Path("runs/heads")
ATTACK = "fast"
EPS = {"digits": "1/6", "cifar10": "8/255"}

LINEAR = {
    "finetuning.epochs": "5",
    "finetuning.optimizer.milestones": "[2, 4]",
    "finetuning.optimizer.lr": "0.1",
}
SHORT = {
    "slf": LINEAR,
    "alf": LINEAR,
    "aff": {"finetuning.epochs": "5", "finetuning.optimizer.milestones": "[3, 4]"},
}
"""A fifth of the epochs, with the same course of the learning rate. That of linear classifiers is
ten times as high: in 75 steps instead of 2,200 they would hardly leave zero."""

FEW = {
    "finetuning.labelled": "0.01",
    "finetuning.batch_size": "32",
    "validation.examples": "200",
    "precision": "float32",
}
"""A hundredth of the training images, in batches that make enough steps of them."""


class Row(NamedTuple):
    """What is measured: heads by a protocol, or the zoo's own network where ``method`` is ""."""

    encoder: str
    dataset: str
    method: str
    seeds: int = 1
    changes: dict[str, str] = {}  # noqa: RUF012 - read only

    @property
    def name(self) -> str:
        """Of the row, and of its file."""
        return "-".join(filter(None, (f"{self.encoder}.{self.dataset}", self.method)))


ROWS = (
    *(
        Row(encoder, "digits", method, seeds=3 if method else 1)
        for encoder in ("simclr_at", "simclr_st")
        for method in ("", *METHODS)
    ),
    Row("simclr_at", "cifar10", ""),
    *(Row("simclr_at", "cifar10", method, changes=SHORT[method] | FEW) for method in METHODS),
)


@cache
def images_of(dataset: str, files: tuple[Path, ...]) -> TrainingImages:
    """Return the images of a data set, read once."""
    return head_images(dataset, files, data_dir=None, download=False)


def measure(row: Row, files: Sequence[Path]) -> dict[str, Any]:
    """Return the accuracies of a row on validation images, one for each seed."""
    found = images_of(row.dataset, tuple(files))
    if row.method:
        fitted = clbench.fit_head(
            f"{row.encoder}.{row.dataset}",
            method=row.method,
            dataset=row.dataset,
            data=files,
            changes=row.changes,
            seeds=row.seeds,
            out=RUNS / row.name,
        )
        summary, images = fitted.summary, found.validation.head(fitted.summary.n_validation)
        models = [str(fitted.out / f"seed-{seed}") for seed in summary.seeds]
        pgd, clean = summary.robust_acc.by_seed, summary.clean_acc.by_seed
    else:
        n = min(len(found.validation), int(FEW["validation.examples"]))
        images, models = found.validation.head(n), [f"{row.encoder}.{row.dataset}"]
        clean, pgd = _own(models[0], row.dataset, images)
    attacked = [_attacked(model, images, EPS[row.dataset]) for model in models]
    return {
        "encoder": row.encoder,
        "dataset": row.dataset,
        "method": row.method,
        "changes": row.changes,
        "seeds": list(range(row.seeds)),
        "n_validation": len(images),
        "validation_sha256": images.sha256,
        "clean": list(clean),
        "pgd": list(pgd),
        ATTACK: attacked,
    }


def _own(name: str, dataset: str, images: ImageSet) -> tuple[list[float], list[float]]:
    """Return clean and PGD accuracy of the zoo's own network, as of a head."""
    network = clbench.load_model(name, dataset=dataset).network
    attack, cpu = Validation(parse_eps(EPS[dataset]), 20), torch.device("cpu")
    return [accuracy(network, images, None, device=cpu)], [
        accuracy(network, images, attack, device=cpu)
    ]


def _attacked(model: str, images: ImageSet, eps: str) -> float:
    evaluation = clbench.evaluate(
        model, data=images, norm="Linf", eps=eps, attack=ATTACK, probe=False, out=None
    )
    value = evaluation.record.measure("robust_acc").value
    assert value is not None, "an attack leaves a share"
    return value


def table() -> list[str]:
    """Return the table of what was measured, in Markdown, a line each."""
    heading = ("encoder", "protocol", "seeds", "clean", "PGD-20", f"`{ATTACK}`", "n")
    lines = [heading, ("---",) * len(heading)]
    for row in ROWS:
        path = RESULTS / f"{row.name}.json"
        if path.exists():
            found = json.loads(path.read_text())
            figures = [_with_spread(found[key]) for key in ("clean", "pgd", ATTACK)]
            protocol = row.method or "the zoo's own"
            of, n = f"`{row.encoder}.{row.dataset}`", str(found["n_validation"])
            lines.append((of, protocol, str(len(found["seeds"])), *figures, n))
    return [f"| {' | '.join(line)} |" for line in lines]


def _with_spread(values: list[float]) -> str:
    mean = f"{100 * fmean(values):.1f}"
    return f"{mean} ± {100 * stdev(values):.1f}" if len(values) > 1 else mean


def main(cifar10: Path | None = None) -> None:
    """Measure what is missing, and print the table."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    for row in ROWS:
        path = RESULTS / f"{row.name}.json"
        files = [cifar10] if cifar10 and row.dataset == "cifar10" else []
        if path.exists() or (row.dataset == "cifar10" and not files):
            continue
        path.write_text(json.dumps(measure(row, files), indent=1) + "\n")
        print(row.name, "measured", flush=True)
    print("\n".join(table()))


if __name__ == "__main__":
    typer.run(main)
