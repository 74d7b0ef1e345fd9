"""AutoAttack by clbench's own engine against pyautoattack: the verdicts, example by example.

``python -m benchmarks.attack_agreement --cifar10 FILE`` runs what is not there yet, which takes
hours, and prints the table; ``FILE`` holds the first CIFAR-10 test images. Results are kept in
``benchmarks/results``, a file for each network and norm. The package runs with two seeds: how much
it differs from itself is the measure of how much it differs from the engine.
"""

import json
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
import typer
from pyautoattack import AutoAttack
from torch import Tensor, nn

from benchmarks.networks import OTHERS, of_zoo, other
from clbench.attacks.registry import bind, plan_attack
from clbench.data.image_set import ImageSet
from clbench.evaluation.run import evaluate
from clbench.schema.names import NormName
from clbench.schema.threat_model import ThreatModel, parse_eps

RESULTS = Path(__file__).parent / "results" / "attack_agreement"

DIGITS, CIFAR10 = 220, 128
"""How many test images of each data set."""

ZOO = (
    *(("simclr_at", "digits"), ("simclr_full_at", "digits"), ("supcon_partial_at", "digits")),
    *(("supervised_at", "digits"), ("supervised_at", "cifar10"), ("simclr_full_at", "cifar10")),
)

CASES = {
    **{f"{name}.{data}": partial(of_zoo, name, data, DIGITS if data == "digits" else CIFAR10)
       for name, data in ZOO},
    **{f"{name}.digits": partial(other, name, DIGITS) for name in OTHERS},
}  # fmt: skip

EPS: dict[NormName, dict[str, str]] = {
    "Linf": {"digits": "1/6", "cifar10": "8/255"},
    "L2": {"digits": "3/4", "cifar10": "1/2"},
    "L1": {"digits": "1", "cifar10": "6"},
}
"""In Linf those of the protocols; in the others, such that networks are neither safe nor lost."""

LOST, SAFE = 0.05, 0.95
"""Between these robust accuracies a network counts."""

Verdicts = str
"""For each example 1 where it is still classified rightly, 0 where not."""


def verdicts(robust: Tensor) -> Verdicts:
    """Return verdicts as text."""
    return "".join(str(int(one)) for one in robust)


def by_package(network: nn.Module, images: ImageSet, norm: NormName, eps: float, seed: int) -> str:
    """Return what AutoAttack's standard attacks leave, run by pyautoattack itself."""
    attack = AutoAttack(network, norm=norm, eps=eps, seed=seed, device="cpu")
    found, _ = attack.run_standard_evaluation(images.images, images.labels, batch_size=256)
    with torch.no_grad():
        return verdicts(network(found).argmax(1) == images.labels)


def by_engine(network: nn.Module, images: ImageSet, norm: NormName, eps: str, seed: int) -> str:
    """Return what AutoAttack's standard attacks leave, run by clbench's own engine."""
    steps = bind(plan_attack("autoattack", norm, images.n_classes, "native"), images.n_classes)
    threat_model = ThreatModel(norm, parse_eps(eps))
    result = evaluate(
        *(network, images, steps, threat_model), seed=seed, batch_size=None, device="cpu"
    )
    return "".join(str(int(one == "")) for one in result.broken_by)


def compare(network: nn.Module, images: ImageSet, norm: NormName, eps: str) -> dict[str, Any]:
    """Return the verdicts of the engine and of two runs of the package, and CPU seconds."""
    network.requires_grad_(requires_grad=False)
    with torch.no_grad():
        found = {"clean": verdicts(network(images.images).argmax(1) == images.labels)}
    ways = {
        "engine": partial(by_engine, eps=eps, seed=0),
        "package": partial(by_package, eps=float(parse_eps(eps)), seed=0),
        "package again": partial(by_package, eps=float(parse_eps(eps)), seed=1),
    }
    seconds = {}
    for name, way in ways.items():
        started = time.process_time()
        found[name] = way(network, images, norm)
        seconds[name] = round(time.process_time() - started, 1)
    return {"norm": norm, "eps": eps, "verdicts": found, "cpu_seconds": seconds}


class Row(NamedTuple):
    """A network's verdicts compared, of its cleanly right examples."""

    name: str
    norm: str
    n: int
    robust: float
    differ: int
    of_itself: int
    excess: float

    @classmethod
    def of(cls, name: str, result: dict[str, Any]) -> "Row":
        """Return the row of a result."""
        found = result["verdicts"]
        right = [place for place, one in enumerate(found["clean"]) if one == "1"]
        engine, package, again = (
            [found[way][place] == "1" for place in right]
            for way in ("engine", "package", "package again")
        )
        n = len(right)
        return cls(
            name=name,
            norm=result["norm"],
            n=n,
            robust=sum(package) / n,
            differ=sum(one != two for one, two in zip(engine, package, strict=True)),
            of_itself=sum(one != two for one, two in zip(again, package, strict=True)),
            excess=100 * (sum(engine) - sum(package)) / n,
        )

    @property
    def counts(self) -> bool:
        """Whether the network is neither safe nor lost."""
        return LOST <= self.robust <= SAFE

    def __str__(self) -> str:
        return (
            f"{self.norm:5} {self.name:26} {self.n:4} {100 * self.robust:6.1f} "
            f"{self.differ:7} {self.of_itself:9} {self.excess:+8.2f}"
            + ("" if self.counts else "  apart")
        )


def rows() -> Iterator[Row]:
    """Yield the rows of all results that there are."""
    for path in sorted(RESULTS.glob("*.json")):
        yield Row.of(path.stem.rpartition("-")[0], json.loads(path.read_text()))


def table() -> None:
    """Print the rows, and what all those together say that count."""
    found = list(rows())
    print("norm  network                       n robust %  differ  of itself  excess")
    for row in found:
        print(row)
    for norm in EPS:
        some = [row for row in found if row.counts and row.norm == norm]
        if some:
            n, differ, itself = (
                sum(getattr(row, name) for row in some) for name in ("n", "differ", "of_itself")
            )
            mean = sum(row.excess for row in some) / len(some)
            print(
                f"{norm}: {len(some)} networks, {n} examples, {100 * (1 - differ / n):.2f} % of "
                f"verdicts equal; of the package with another seed {100 * (1 - itself / n):.2f} %; "
                f"mean excess {mean:+.2f} points"
            )


def main(
    norm: list[str] | None = None, name: list[str] | None = None, cifar10: Path | None = None
) -> None:
    """Run what is not there yet, and print the table."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    for one in norm or EPS:
        for case in name or CASES:
            path = RESULTS / f"{case}-{one}.json"
            of_cifar10 = case.endswith("cifar10")
            if path.exists() or (of_cifar10 and cifar10 is None):
                continue
            network, images = CASES[case](file=cifar10) if of_cifar10 else CASES[case]()
            found = compare(network, images, one, EPS[one][case.rpartition(".")[2]])
            path.write_text(json.dumps(found, indent=1) + "\n")
            print(Row.of(case, json.loads(path.read_text())), flush=True)
    table()


if __name__ == "__main__":
    typer.run(main)
