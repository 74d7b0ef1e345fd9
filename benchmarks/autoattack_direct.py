"""AutoAttack called directly, against clbench: robust accuracy and time, same model and images.

Run it with ``python benchmarks/autoattack_direct.py --model simclr_at`` on a quiet machine.
"""

import time
from fractions import Fraction

import torch
import typer
from pyautoattack import AutoAttack

from clbench.attacks.registry import bind, plan_attack
from clbench.data.load import load_test_set
from clbench.evaluation.run import evaluate
from clbench.models.load import load_model
from clbench.schema.threat_model import ThreatModel


def compare(model: str = "simclr_at", n: int = 360, eps: str = "1/6", bs: int = 250) -> None:
    """Print the robust accuracy of both and how many times as long clbench takes."""
    image_set = load_test_set("digits", n_examples=n, data_dir=None)
    network = load_model(model, dataset="digits", n_classes=10, shape=(1, 8, 8)).network
    images, labels = image_set.images, image_set.labels

    started, busy = time.perf_counter(), time.process_time()
    attack = AutoAttack(network, norm="Linf", eps=float(Fraction(eps)), seed=0, device="cpu")
    adversarial, _ = attack.run_standard_evaluation(images, labels, batch_size=bs)
    with torch.no_grad():
        direct = int((network(adversarial).argmax(1) == labels).sum())
    direct_wall, direct_cpu = time.perf_counter() - started, time.process_time() - busy
    print(
        f"pyautoattack {direct}/{n} robust, {direct_wall:.1f} s, {direct_cpu:.1f} s of CPU",
        flush=True,
    )

    started, busy = time.perf_counter(), time.process_time()
    steps = bind(plan_attack("autoattack", "Linf", 10), 10)
    threat_model = ThreatModel("Linf", Fraction(eps))
    outcome = evaluate(
        network, image_set, steps, threat_model, seed=0, batch_size=None, device="cpu"
    )
    wall, cpu = time.perf_counter() - started, time.process_time() - busy
    robust = round(outcome.robust_acc.value * n)
    print(f"clbench      {robust}/{n} robust, {wall:.1f} s, {cpu:.1f} s of CPU")
    print(f"difference {robust - direct} examples, time ratio {wall / direct_wall:.3f}")


if __name__ == "__main__":
    typer.run(compare)
