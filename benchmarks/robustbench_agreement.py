"""RobustBench's own ``benchmark``, through our interop, against ``clbench eval``: the verdicts.

``python -m benchmarks.robustbench_agreement FILE`` runs what is not there yet, some three
minutes a network, and prints the table; ``FILE`` holds the first CIFAR-10 test images. RobustBench
gives AutoAttack no seed, so that two of its runs may differ: here it gets one, and the second
verdicts of it, with another, tell by how much. Results are kept in ``benchmarks/results``.
"""

import json
import sys
import tempfile
from functools import partial
from pathlib import Path
from unittest.mock import patch

import typer

import clbench
from clbench.data.image_set import ImageSet
from clbench.interop.robustbench import benchmark
from clbench.models.load import load_model
from clbench.schema.threat_model import parse_eps

RESULTS = Path(__file__).parent / "results" / "robustbench_agreement.json"

NETWORKS = ("supervised_at", "simclr_full_at", "supcon_full_at")
N, EPS, SEEDS = 128, "8/255", (0, 1)


def by_robustbench(name: str, images: ImageSet, seed: int) -> str:
    """Return RobustBench's verdicts, 1 for each example that stays robust, else 0."""
    network = load_model(name, dataset="cifar10").network
    evaluation = sys.modules["robustbench.eval"]
    pair = images.tensor(), images.labels
    with (
        tempfile.TemporaryDirectory() as folder,
        patch.object(evaluation, "load_clean_dataset", lambda *_: pair),
        patch.object(evaluation, "AutoAttack", partial(evaluation.AutoAttack, seed=seed)),
    ):
        state = Path(folder) / "state.json"
        benchmark(
            network,
            n_examples=len(images),
            dataset="cifar10",
            threat_model="Linf",
            eps=float(parse_eps(EPS)),
            batch_size=len(images),
            aa_state_path=state,
        )
        flags = json.loads(state.read_text())["_robust_flags"]
    return "".join(str(int(one)) for one in flags)


def by_clbench(name: str, images: ImageSet) -> str:
    """Return clbench's verdicts, by the same package."""
    done = clbench.evaluate(
        name,
        protocol="cifar10-linf",
        data=images,
        eps=EPS,
        attack="autoattack",
        backend="pyautoattack",
        batch_size=len(images),
        seed=0,
        probe=False,
    )
    return "".join(str(int(one == "")) for one in done.examples.broken_by)


def run(cifar10: Path, n: int = N) -> None:
    """Run what is not there yet, and print how many verdicts differ."""
    images = clbench.load_data(cifar10, n_examples=n)
    done = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for name in NETWORKS:
        if name not in done:
            done[name] = {
                "clbench": by_clbench(name, images),
                "robustbench": [by_robustbench(name, images, seed) for seed in SEEDS],
            }
            RESULTS.write_text(json.dumps(done, indent=1) + "\n")
        ours, (first, second) = done[name]["clbench"], done[name]["robustbench"]
        differ = sum(a != b for a, b in zip(ours, first, strict=True))
        itself = sum(a != b for a, b in zip(first, second, strict=True))
        print(
            f"{name}: {ours.count('1')}/{len(ours)} robust here, {first.count('1')} there; "
            f"{differ} verdicts differ, {itself} of RobustBench's with another seed"
        )


if __name__ == "__main__":
    typer.run(run)
