"""AutoAttack under its classic name and signature, on what is installed."""

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from clbench.interop.autoattack import published_package
from clbench.interop.autoattack_state import EvaluationState
from clbench.schema.errors import BadValueError
from clbench.schema.names import look_up

_STEPS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "apgd-ce": ("apgd", {"loss": "ce"}),
    "apgd-dlr": ("apgd", {"loss": "dlr"}),
    "fab": ("fab", {"targeted": False}),
    "square": ("square", {}),
    "apgd-t": ("apgd_targeted", {}),
    "fab-t": ("fab", {"targeted": True, "n_restarts": 1}),
}
"""By AutoAttack's name of an attack: which object runs it, and what is set on that object first."""


class AutoAttack:
    """The classic AutoAttack, run by the attacks of ``pyautoattack``.

    Differs from the classic where that is broken: ``state_path`` works; a model that computes
    gradients while it predicts no longer brands every later model of the process; the global
    random state and the trace function are left as found; and after
    :meth:`run_standard_evaluation_individual` the object is as it was.

    ``apgd``, ``fab``, ``square``, ``apgd_targeted`` and ``attacks_to_run`` may be changed between
    construction and run, as with ``version="custom"``.

    Raises:
        BadValueError: ``attacks_to_run`` is given with another version than "custom", or
            ``is_tf_model`` is set.
    """

    def __init__(  # noqa: PLR0917 - the classic's signature, order included
        self,
        model: nn.Module,
        norm: Literal["Linf", "L2", "L1"] = "Linf",
        eps: float = 0.3,
        seed: int | None = None,
        verbose: bool = True,
        attacks_to_run: Sequence[str] = (),
        version: Literal["standard", "plus", "rand", "custom"] = "standard",
        is_tf_model: bool = False,
        device: torch.device | str = "cuda",
        log_path: Path | str | None = None,
    ) -> None:
        if is_tf_model:
            raise BadValueError("is_tf_model must be False, got True; install autoattack for that")
        if attacks_to_run and version != "custom":
            raise BadValueError(
                f"attacks_to_run needs version 'custom', got {version!r}, which has its own"
            )
        self.model, self.norm, self.epsilon = model, norm, eps
        self.seed, self.verbose, self.version, self.device = seed, verbose, version, device
        self.logger = _Log(log_path)
        self._package = published_package()
        parts = self._package.AutoAttack(
            model, norm=norm, eps=eps, seed=seed, version=version, device=device
        )
        self.apgd, self.fab, self.square = parts.apgd, parts.fab, parts.square
        self.apgd_targeted = parts.apgd_targeted
        self.apgd.logger = self.apgd_targeted.logger = self.logger
        self.attacks_to_run = list(attacks_to_run or parts.attacks_to_run or [])

    def get_logits(self, x: Float[Tensor, "n ..."]) -> Float[Tensor, "n k"]:
        """Return what the model answers."""
        logits: Tensor = self.model(x)
        return logits

    def get_seed(self) -> int | float:
        """Return the seed of the next batch: the one given, else the time."""
        return time.time() if self.seed is None else self.seed

    def run_standard_evaluation(
        self,
        x_orig: Float[Tensor, "n ..."],
        y_orig: Int[Tensor, " n"],
        bs: int = 250,
        return_labels: bool = False,
        state_path: Path | str | None = None,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Return adversarial images; where no attack broke an image, the image itself.

        Args:
            x_orig: Images in [0, 1].
            y_orig: Their labels.
            bs: Images attacked at once.
            return_labels: Whether to return the classes they pass for as well.
            state_path: Where progress is kept. Where the file exists, the run goes on from there:
                attacks that are done are left out, images that are broken are not attacked again,
                and come back clean.

        Raises:
            BadValueError: The state is of other attacks, or of another number of images.
            RecordError: The state cannot be read.
            StorageError: The state cannot be written.
        """
        state = self._open_state(state_path, len(x_orig))
        with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
            with _as_found(self._package):
                self._check_model(x_orig[:bs].to(self.device), y_orig[:bs].to(self.device), bs)
            with torch.no_grad():
                x_adv, y_adv = self._run_cascade(x_orig, y_orig, bs, state)
        return (x_adv, y_adv) if return_labels else x_adv

    def run_standard_evaluation_individual(
        self,
        x_orig: Float[Tensor, "n ..."],
        y_orig: Int[Tensor, " n"],
        bs: int = 250,
        return_labels: bool = False,
    ) -> dict[str, Tensor | tuple[Tensor, Tensor]]:
        """Return what :meth:`run_standard_evaluation` does for each attack alone, by its name."""
        attacks, verbose = self.attacks_to_run, self.verbose
        found: dict[str, Tensor | tuple[Tensor, Tensor]] = {}
        try:
            for attack in attacks:
                self.attacks_to_run, self.verbose, start = [attack], False, time.time()
                x_adv, y_adv = self.run_standard_evaluation(x_orig, y_orig, bs, return_labels=True)
                found[attack] = (x_adv, y_adv) if return_labels else x_adv
                accuracy, self.verbose = self.clean_accuracy(x_adv, y_orig, bs), verbose
                self._say(
                    f"robust accuracy by {attack.upper()} \t {accuracy:.2%} "
                    f"\t (time attack: {time.time() - start:.1f} s)"
                )
        finally:
            self.attacks_to_run, self.verbose = attacks, verbose
        return found

    def clean_accuracy(
        self, x_orig: Float[Tensor, "n ..."], y_orig: Int[Tensor, " n"], bs: int = 250
    ) -> float:
        """Return the share of images that the model classifies correctly, in [0, 1]."""
        with torch.no_grad():
            right = (self._predict(x_orig, bs) == y_orig).double().mean().item()
        self._say(f"clean accuracy: {right:.2%}")
        return right

    def _open_state(self, path: Path | str | None, n: int) -> EvaluationState:
        if path is None or not Path(path).exists():
            return EvaluationState(self.attacks_to_run, None if path is None else Path(path))
        state = EvaluationState.from_disk(path)
        if state.attacks_to_run != set(self.attacks_to_run):
            raise BadValueError(
                f"state {path} is of {sorted(state.attacks_to_run)}, this run is of "
                f"{sorted(self.attacks_to_run)}; give another state_path, or move the file away"
            )
        if state.still_robust is not None and len(state.still_robust) != n:
            raise BadValueError(
                f"state {path} is of {len(state.still_robust)} images, this run is of {n}; "
                "give another state_path, or move the file away"
            )
        self._say(f"restored state from {path}; images broken before come back clean")
        return state

    def _check_model(self, x: Tensor, y: Tensor, bs: int) -> None:
        """Log what makes a model unfit for AutoAttack, by AutoAttack's own checks."""
        checks, log = self._package.checks, self.logger
        if self.version != "rand":
            checks.check_randomized(self.get_logits, x, y, bs=bs, logger=log)
        n_classes = checks.check_range_output(self.get_logits, x, logger=log)
        checks.check_dynamic(self.model, x, False, logger=log)
        targets = self.apgd_targeted.n_target_classes, self.fab.n_target_classes
        checks.check_n_classes(n_classes, self.attacks_to_run, *targets, logger=log)

    def _run_cascade(
        self, x_orig: Tensor, y_orig: Tensor, bs: int, state: EvaluationState
    ) -> tuple[Tensor, Tensor]:
        x_adv, y_adv = x_orig.clone(), self._predict(x_orig, bs)
        if state.still_robust is None:
            state.start((y_adv == y_orig).cpu())
        accuracy = {"clean": state.clean_accuracy}
        self._say(f"initial accuracy: {state.clean_accuracy:.2%}")
        start = time.time()
        for attack in [one for one in self.attacks_to_run if one not in state.run_attacks]:
            if not state.robust_accuracy:
                break
            self._run_attack(attack, (x_orig, y_orig), (x_adv, y_adv), bs, state)
            state.add_run_attack(attack)
            accuracy[attack] = state.robust_accuracy
            self._say(
                f"robust accuracy after {attack.upper()}: {state.robust_accuracy:.2%} "
                f"(total time {time.time() - start:.1f} s)"
            )
        self._package.checks.check_square_sr(accuracy, logger=self.logger)
        self._say(_bounds(x_adv, x_orig, self.norm))
        self._say(f"robust accuracy: {state.robust_accuracy:.2%}")
        return x_adv, y_adv

    def _run_attack(
        self,
        attack: str,
        clean: tuple[Tensor, Tensor],
        found: tuple[Tensor, Tensor],
        bs: int,
        state: EvaluationState,
    ) -> None:
        """Attack what is robust, and write what breaks into ``found`` and ``state``."""
        assert state.still_robust is not None, "the clean images come first"
        batches = torch.split(state.still_robust.nonzero().flatten(), bs)
        for number, index in enumerate(batches, start=1):
            x, y = (tensor[index.to(tensor.device)].to(self.device) for tensor in clean)
            x = x.contiguous()  # APGD fails on images whose channels are last in memory
            adversarial = self._perturb(attack, x, y)
            predicted = self.get_logits(adversarial).argmax(dim=1)
            broken = (predicted != y).cpu()
            for target, values in zip(found, (adversarial, predicted), strict=True):
                hit = values[broken.to(values.device)].to(target.device)
                target[index[broken].to(target.device)] = hit
            state.still_robust[index[broken]] = False
            state.to_disk()
            self._say(
                f"{attack} - {number}/{len(batches)} - {int(broken.sum())} out of {len(index)} "
                "successfully perturbed"
            )

    def _perturb(self, attack: str, x: Tensor, y: Tensor) -> Tensor:
        name, settings = look_up(_STEPS, attack, "attack")
        runner = getattr(self, name)
        for key, value in {**settings, "seed": self.get_seed()}.items():
            setattr(runner, key, value)
        adversarial: Tensor = runner.perturb(x, y)
        return adversarial

    def _predict(self, x: Tensor, bs: int) -> Tensor:
        parts = [self.get_logits(part.to(self.device)).argmax(dim=1) for part in torch.split(x, bs)]
        return torch.cat(parts).to(x.device)

    def _say(self, message: str) -> None:
        if self.verbose:
            self.logger.log(message)


@contextmanager
def _as_found(package: ModuleType) -> Iterator[None]:
    """Keep what the checks change for the rest of the process as it was before.

    The one for dynamic models counts calls in a table of its module that nothing resets, so that
    one such model brands all later ones; and it takes the trace function away, which blinds
    debuggers and coverage.
    """
    counts, trace = package.checks.funcs, sys.gettrace()
    before = dict(counts)
    counts.update(dict.fromkeys(counts, 0))
    try:
        yield
    finally:
        counts.update(before)
        sys.settrace(trace)


class _Log:
    """Says each line, and adds it to a file where one is given."""

    def __init__(self, path: Path | str | None) -> None:
        self.path = None if path is None else Path(path)

    def log(self, message: str) -> None:
        sys.stdout.write(f"{message}\n")
        if self.path:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(f"{message}\n")

    warning = log
    """What AutoAttack's own checks call."""


def _bounds(x_adv: Tensor, x_orig: Tensor, norm: str) -> str:
    """Return the line that shows that what was found keeps to the ball and to the pixel range."""
    order = {"Linf": torch.inf, "L2": 2, "L1": 1}[norm]
    largest = torch.linalg.vector_norm((x_adv - x_orig).flatten(1), order, dim=1).max()
    return (
        f"max {norm} perturbation: {largest:.5f}, nan in tensor: {int(x_adv.isnan().sum())}, "
        f"max: {x_adv.max():.5f}, min: {x_adv.min():.5f}"
    )
