"""In which arithmetic networks run: bfloat16 unasked only where there are instructions for it."""

import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from clbench.runtime.devices import device_name
from clbench.schema.errors import BadValueError
from clbench.schema.names import PRECISIONS, Precision

AUTO = "auto"

_CPUINFO = Path("/proc/cpuinfo")
_FLAGS = ("flags", "Features")
"""How Linux calls the instructions of a core: on x86, and on ARM."""

_BFLOAT16 = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
"""Instructions that multiply in bfloat16; without them torch calculates it by others, for which it
takes many times as long, AVX-512 or not. torch.backends calls it supported all the same."""

_LIMITS = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")
_WITHOUT = frozenset(
    {"SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX2_VNNI_2", "AVX512_CORE", "AVX512_CORE_VNNI"}
)
"""Where these variables hold one of these names, torch's convolutions do without."""

_BUDGET_S = 0.8
_SLOWER = 1.2
"""Below it, a ratio may be that of the moment."""


def settle(precision: str, device: torch.device, *, auto: Precision = "float32") -> Precision:
    """Return the precision to run in: the one asked for, or ``auto`` where that is left open.

    Raises:
        BadValueError: There is no such precision, or the device does not have it.
    """
    wanted = auto if precision == AUTO else precision
    found = next((one for one in PRECISIONS if one == wanted), None)
    if found is None:
        known = f"{AUTO}, {' or '.join(PRECISIONS)}"
        raise BadValueError(f"precision must be {known}, got {precision!r}")
    if found == "bfloat16" and not _can_bfloat16(device):
        raise BadValueError(
            f"{device_name(device)} has no bfloat16, got precision {precision!r}; "
            "take --precision float32"
        )
    return found


def quicker(device: torch.device) -> Precision:
    """Return the precision that trainings take on a device by themselves."""
    if device.type == "cuda":
        with torch.cuda.device(device):
            has_it = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        limit = next((os.environ[name] for name in _LIMITS if name in os.environ), "")
        has_it = has_bfloat16(_cpuinfo(), limit=limit)
    return "bfloat16" if has_it else "float32"


def has_bfloat16(cpuinfo: str, *, limit: str = "") -> bool:
    """Say whether all cores of a processor have instructions for bfloat16, and may use them.

    Args:
        cpuinfo: What Linux tells of them in /proc/cpuinfo; "" where it is another system.
        limit: To which instructions oneDNN, torch's library, is held by its variable; "" if not.

    >>> has_bfloat16("flags : fma avx2 avx512bw avx512_vnni"), has_bfloat16("Features : asimd bf16")
    (False, True)
    """
    lines = (line.partition(":") for line in cpuinfo.splitlines())
    cores = [set(value.split()) for name, _, value in lines if name.strip() in _FLAGS]
    able = bool(cores) and all(core & _BFLOAT16 for core in cores)
    return able and limit.strip().upper() not in _WITHOUT


def slowdown(
    passes: Callable[[int, Precision], object], device: torch.device, *, most: int
) -> float:
    """Return how many times as long passes take in bfloat16 as in float32, in about a second.

    Args:
        passes: Runs a forward and a backward pass of so many images, in a precision.
        device: Where they run.
        most: Images that there are.
    """
    n, begun = min(2, most), time.perf_counter()  # batch norms train on two at least
    while True:
        started = time.perf_counter()
        plain, low = (_seconds(partial(passes, n, one), device) for one in PRECISIONS)
        now = time.perf_counter()
        if n >= most or now + 2 * (now - started) > begun + _BUDGET_S:
            return low / plain
        n = min(2 * n, most)


def is_slower(ratio: float) -> bool:
    """Say whether a ratio that was measured is worth a word."""
    return ratio > _SLOWER


def _seconds(run: Callable[[], object], device: torch.device) -> float:
    """Return the seconds of a run, after one that sets up what has to be; the better of two."""
    found = []
    for _ in range(3):
        started = time.perf_counter()
        run()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        found.append(time.perf_counter() - started)
    return min(found[1:])


def _can_bfloat16(device: torch.device) -> bool:
    """Say whether a device calculates in bfloat16, however long that takes; processors all do."""
    if device.type != "cuda":
        return True
    with torch.cuda.device(device):
        return bool(torch.cuda.is_bf16_supported())


def _cpuinfo() -> str:
    try:
        return _CPUINFO.read_text(errors="replace")
    except OSError:  # not Linux
        return ""
