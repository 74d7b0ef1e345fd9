"""How options are read before anything heavy is loaded: each returns the value, or says why not."""

import re

from clbench.schema.errors import BadValueError
from clbench.schema.text import shown

_DEVICE = re.compile(r"auto|cpu|cuda(:[0-9]{1,4})?")


def protocol(text: str) -> str:
    """Return the name or file of a protocol."""
    from clbench.schema.protocol import find_protocol

    find_protocol(text)
    return text


def dataset(text: str) -> str:
    """Return the name of a data set; none has capitals."""
    return text.lower()


def norm(text: str) -> str:
    """Return a norm in its usual spelling."""
    from clbench.schema.threat_model import parse_norm

    return parse_norm(text)


def eps(text: str) -> str:
    """Return an eps as it was written."""
    from clbench.schema.threat_model import parse_eps

    parse_eps(text)
    return text


def attack(text: str) -> str:
    """Return an attack as it was written."""
    from clbench.attacks.grammar import check_attack

    check_attack(text)
    return text


def backend(text: str) -> str:
    """Return the name of a backend."""
    from clbench.attacks.grammar import BACKEND_NAMES
    from clbench.schema.names import look_up

    return look_up(dict(zip(BACKEND_NAMES, BACKEND_NAMES, strict=True)), text, "backend")


def evidence(text: str) -> str:
    """Return a kind of evidence in its usual spelling."""
    from clbench.schema.names import read_evidence_kind

    return read_evidence_kind(text)


def device(text: str) -> str:
    """Return the name of a device, which need not be there."""
    if not _DEVICE.fullmatch(text):
        raise BadValueError(f"--device must be auto, cpu, cuda or cuda:N, got {shown(text)}")
    return text


def seed(text: str) -> int:
    """Return a seed."""
    from clbench.schema.protocol import read_seed

    return read_seed(text)


def seeds(text: str | int) -> int:
    """Return a number of seeds."""
    from clbench.schema.head import read_n_seeds

    return read_n_seeds(text)


def head_method(text: str) -> str:
    """Return a protocol for encoders in its usual spelling."""
    from clbench.schema.head import read_method

    return read_method(text)


def n_examples(text: str) -> int:
    """Return a number of examples."""
    from clbench.schema.protocol import read_n_examples

    return read_n_examples(text)


def batch_size(text: str) -> str:
    """Return a number of images, or auto."""
    from clbench.schema.numbers import read_batch_size

    read_batch_size(text)
    return text


def shard(text: str) -> str:
    """Return a part of the examples as it was written."""
    from clbench.schema.shard import read_shard

    read_shard(text)
    return text


def robust_acc(text: str | float) -> float:
    """Return a share."""
    from clbench.schema.numbers import share

    return share("--robust-acc", text)


def attack_steps(text: str | int) -> int:
    """Return a number of steps."""
    from clbench.schema.numbers import LARGEST_COUNT, whole

    return whole("--attack-steps", text, 1, LARGEST_COUNT)


def permutations(text: str | int) -> int:
    """Return how many other orders of the examples there are."""
    from clbench.schema.numbers import LARGEST_COUNT, whole

    return whole("--permutations", text, 0, LARGEST_COUNT)


def level(text: str | int) -> int:
    """Return how far to verify."""
    from clbench.schema.numbers import whole

    return whole("--level", text, 1, 3)


def audit(text: str | int) -> int:
    """Return a number of examples to draw."""
    from clbench.schema.numbers import LARGEST_COUNT, whole

    return whole("--audit", text, 1, LARGEST_COUNT)
