"""``fast`` and ``best`` against AutoAttack standard: verdicts and passes, over many networks.

``python -m benchmarks.fast_agreement --cifar10 FILE`` runs what is not there yet and prints the
table; ``FILE`` holds the first CIFAR-10 test images. Of the zoo's networks, standard's verdicts are
those of the records in ``leaderboard``, on the same images. Results are kept in
``benchmarks/results``, a file for each network.
"""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
import typer
from torch import nn

from benchmarks.attack_agreement import LOST, SAFE
from benchmarks.networks import OTHERS, of_zoo, other
from clbench.attacks.registry import bind, plan_attack
from clbench.data.image_set import ImageSet
from clbench.evaluation.evidence import read_evidence
from clbench.evaluation.run import evaluate
from clbench.models.zoo import ZOO
from clbench.schema.record_files import evidence_of, read_record, record_files
from clbench.schema.threat_model import ThreatModel, parse_eps

RESULTS = Path(__file__).parent / "results" / "fast_agreement"
LEADERBOARD = Path(__file__).parents[1] / "leaderboard"

N = {"digits": 360, "cifar10": 512}
EPS = {"digits": "1/6", "cifar10": "8/255"}
STANDARD = ("autoattack", "native")
MORE = "apgd-margin + pgd-targets"
"""What best has beyond standard."""

CASES = {
    **{
        spec.full_name: partial(of_zoo, spec.name, spec.dataset, N[spec.dataset])
        for spec in ZOO
        if spec.weights
    },
    **{f"{name}.digits": partial(other, name, N["digits"]) for name in OTHERS},
}


class Found(NamedTuple):
    """For each example 1 where it stays robust and 0 where not, and forward and backward passes."""

    verdicts: str
    passes: int


def run(network: nn.Module, images: ImageSet, attack: str, eps: str) -> Found:
    """Return what an attack in Linf leaves."""
    steps = bind(plan_attack(attack, "Linf", images.n_classes), images.n_classes)
    result = evaluate(
        *(network, images, steps, ThreatModel("Linf", parse_eps(eps))),
        seed=0,
        batch_size=None,
        device="cpu",
    )
    verdicts = "".join(str(int(one == "")) for one in result.broken_by)
    return Found(verdicts, result.forward_passes + result.backward_passes)


def recorded(name: str, images: ImageSet) -> Found | None:
    """Return what the leaderboard says of standard on these images."""
    for path in record_files(LEADERBOARD):
        record = read_record(path)
        mine = (record.model.name, record.data.sha256) == (name, images.sha256)
        if mine and record.attack and (record.attack.name, record.attack.backend) == STANDARD:
            evidence = read_evidence(evidence_of(path, LEADERBOARD), record.evidence_sha256)
            verdicts = "".join(str(int(one == "")) for one in evidence.broken_by)
            return Found(verdicts, record.counts.forward + record.counts.backward)
    return None


def compare(case: str, network: nn.Module, images: ImageSet) -> dict[str, Any]:
    """Return the verdicts and passes of standard, of fast, and of what best has more."""
    name, _, data = case.rpartition(".")
    eps = EPS[data]
    standard = recorded(name, images) or run(network, images, STANDARD[0], eps)
    robust = torch.tensor([place for place, one in enumerate(standard.verdicts) if one == "1"])
    more = run(network, images.part(robust), MORE, eps) if len(robust) else Found("", 0)
    left = iter(more.verdicts)
    best = "".join(next(left) if one == "1" else "0" for one in standard.verdicts)
    with torch.no_grad():
        clean = "".join(str(int(one)) for one in network(images.images).argmax(1) == images.labels)
    found = {
        "standard": standard,
        "fast": run(network, images, "fast", eps),
        "best": Found(best, standard.passes + more.passes),
    }
    return {"eps": eps, "clean": clean} | {way: one._asdict() for way, one in found.items()}


class Row(NamedTuple):
    """A network's verdicts compared, of its cleanly right examples."""

    name: str
    n: int
    robust: float
    passes: float
    differ: int
    excess: float
    best: float
    best_passes: float

    @classmethod
    def of(cls, name: str, result: dict[str, Any]) -> "Row":
        """Return the row of a result."""
        right = [place for place, one in enumerate(result["clean"]) if one == "1"]
        standard, fast, best = (
            [result[way]["verdicts"][place] == "1" for place in right]
            for way in ("standard", "fast", "best")
        )
        n, all_passes = len(right), result["standard"]["passes"]
        return cls(
            name=name,
            n=n,
            robust=sum(standard) / n,
            passes=100 * result["fast"]["passes"] / all_passes,
            differ=sum(one != two for one, two in zip(fast, standard, strict=True)),
            excess=100 * (sum(fast) - sum(standard)) / len(result["clean"]),
            best=100 * (sum(best) - sum(standard)) / len(result["clean"]),
            best_passes=result["best"]["passes"] / all_passes,
        )

    @property
    def counts(self) -> bool:
        """Whether the network is neither safe nor lost."""
        return LOST <= self.robust <= SAFE

    def __str__(self) -> str:
        return (
            f"{self.name:26} {self.n:4} {100 * self.robust:6.1f}   {self.passes:5.2f} "
            f"{self.differ:6} {self.excess:+8.2f}   {self.best:+8.2f} {self.best_passes:6.2f}"
            + ("" if self.counts else "  apart")
        )


def rows() -> Iterator[Row]:
    """Yield the rows of all results that there are."""
    for path in sorted(RESULTS.glob("*.json")):
        yield Row.of(path.stem, json.loads(path.read_text()))


def table() -> None:
    """Print the rows, and what all those together say that count."""
    found = list(rows())
    print(f"{'':26}                fast                      best")
    print(f"{'network':26}    n robust passes % differ   excess     excess passes")
    for row in found:
        print(row)
    some = [row for row in found if row.counts]
    if some:
        n, differ = sum(row.n for row in some), sum(row.differ for row in some)
        print(
            f"{len(some)} networks, {n} examples: fast takes "
            f"{max(row.passes for row in some):.2f} % of the passes at most, "
            f"{100 * (1 - differ / n):.2f} % of verdicts equal, mean excess "
            f"{sum(row.excess for row in some) / len(some):+.2f} points, worst "
            f"{max(row.excess for row in some):+.2f}; best is at most "
            f"{-min(row.best for row in some):.2f} points lower, at "
            f"{max(row.best_passes for row in some):.2f} times the passes at most"
        )


def main(name: list[str] | None = None, cifar10: Path | None = None) -> None:
    """Run what is not there yet, and print the table."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    for case in name or CASES:
        path = RESULTS / f"{case}.json"
        of_cifar10 = case.endswith("cifar10")
        if path.exists() or (of_cifar10 and cifar10 is None):
            continue
        network, images = CASES[case](file=cifar10) if of_cifar10 else CASES[case]()
        path.write_text(json.dumps(compare(case, network, images), indent=1) + "\n")
        print(Row.of(case, json.loads(path.read_text())), flush=True)
    table()


if __name__ == "__main__":
    typer.run(main)
