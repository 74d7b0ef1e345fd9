"""bfloat16 is taken where a processor has instructions for it, and nowhere else."""

from contextlib import nullcontext

import pytest
import torch

from clbench.runtime import precision
from clbench.runtime.precision import has_bfloat16, is_slower, quicker, settle, slowdown
from clbench.schema.errors import BadValueError
from clbench.schema.names import PRECISIONS

CPU, GPU = torch.device("cpu"), torch.device("cuda:0")

_SSE = (
    "fpu vme de pse tsc msr pae mce cx8 sep mtrr pge mca cmov pat mmx fxsr sse sse2 ht syscall nx"
)
_AVX2 = f"{_SSE} lm pni pclmulqdq ssse3 fma cx16 sse4_1 sse4_2 movbe popcnt aes avx f16c avx2 bmi2"
_SKX = f"{_AVX2} avx512f avx512dq rdseed adx clflushopt clwb avx512cd avx512bw avx512vl"
_VNNI = f"{_SKX} avx512_vnni"
_ICX = f"{_VNNI} avx512vbmi avx512_vbmi2 gfni vaes vpclmulqdq avx512_bitalg avx512_vpopcntdq"
_ASIMD = (
    "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop"
)
_SVE = f"{_ASIMD} jscvt fcma sha3 sm3 sm4 asimddp sha512 sve asimdfhm dit uscat ilrcpc flagm ssbs"

PROCESSORS = {
    "Core 2": (f"flags\t\t: {_SSE} ssse3", False),
    "Haswell": (f"flags\t\t: {_AVX2}", False),
    "Zen 2": (f"flags\t\t: {_AVX2} sha_ni clzero", False),
    "Zen 3": (f"flags\t\t: {_AVX2} sha_ni vaes vpclmulqdq", False),
    "Zen 4": (f"flags\t\t: {_ICX} avx512_bf16 clzero", True),
    "Zen 5": (f"flags\t\t: {_ICX} avx512_bf16 avx_vnni avx512_vp2intersect", True),
    "Skylake-SP": (f"flags\t\t: {_SKX}", False),
    "Cascade Lake": (f"flags\t\t: {_VNNI}", False),
    "Cooper Lake": (f"flags\t\t: {_VNNI} avx512_bf16", True),
    "Ice Lake-SP": (f"flags\t\t: {_ICX}", False),
    "Alder Lake": (f"flags\t\t: {_AVX2} avx_vnni gfni vaes", False),
    "Sierra Forest, which converts alone": (f"flags\t\t: {_AVX2} avx_vnni avx_ne_convert", False),
    "Sapphire Rapids": (f"flags\t\t: {_ICX} avx512_bf16 avx512_fp16 amx_bf16 amx_tile", True),
    "Sapphire Rapids, no tiles let through": (f"flags\t\t: {_ICX} avx512_bf16 avx_vnni", True),
    "only tiles let through": (f"flags\t\t: {_AVX2} amx_bf16 amx_tile amx_int8", True),
    "Cortex-A72": ("Features\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 cpuid", False),
    "Graviton 2": (f"Features\t: {_ASIMD} asimddp ssbs", False),
    "Graviton 3": (f"Features\t: {_SVE} svei8mm svebf16 i8mm bf16 dgh rng", True),
    "Grace": (f"Features\t: {_SVE} sve2 svei8mm svebf16 i8mm bf16 dgh bti", True),
    "A64FX": (f"Features\t: {_SVE}", False),
    "Apple M1 under Linux": (f"Features\t: {_ASIMD} jscvt fcma sha3 asimddp dit flagm2", False),
    "Apple M2 under Linux": (f"Features\t: {_ASIMD} jscvt fcma asimddp i8mm bf16 bti", True),
    "big and little cores": (f"Features\t: {_SVE} bf16\n\nFeatures\t: {_ASIMD}", False),
    "POWER9": ("cpu\t\t: POWER9, altivec supported\nclock\t\t: 3800MHz", False),
    "not Linux": ("", False),
    "a name, no instruction": (f"model name\t: bf16 avx512_bf16\nflags\t\t: {_AVX2}", False),
    "a longer word": (f"flags\t\t: {_AVX2} xavx512_bf16x ebf16", False),
}


@pytest.mark.parametrize("name", PROCESSORS)
def test_bfloat16_is_for_processors_with_instructions_for_it(name):
    cpuinfo, expected = PROCESSORS[name]
    core = f"processor\t: 0\nmodel name\t: {name}\n{cpuinfo}\nbugs\t\t: spectre_v1\n\n"
    assert has_bfloat16(2 * core if cpuinfo else "") is expected


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        *((one, False) for one in ("SSE41", "AVX2", "avx2", "AVX2_VNNI", "AVX512_CORE")),
        *((one, False) for one in ("AVX512_CORE_VNNI", " AVX2 ")),
        *((one, True) for one in ("", "DEFAULT", "ALL", "AVX512_CORE_BF16", "AVX512_CORE_AMX")),
    ],
)
def test_instructions_that_torch_may_not_use_do_not_count(limit, expected):
    assert has_bfloat16(PROCESSORS["Sapphire Rapids"][0], limit=limit) is expected


@pytest.fixture
def on(monkeypatch):
    """Return a function that lets this machine have another processor, or a GPU."""

    def have(cpuinfo="", *, gpu=(False, False), limit=None):
        monkeypatch.setattr(precision, "_cpuinfo", lambda: cpuinfo)
        for name in ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"):
            monkeypatch.delenv(name, raising=False)
        if limit:
            monkeypatch.setenv("DNNL_MAX_CPU_ISA", limit)
        native, emulated = gpu
        monkeypatch.setattr(torch.cuda, "device", nullcontext)
        monkeypatch.setattr(
            torch.cuda,
            "is_bf16_supported",
            lambda including_emulation=True: emulated if including_emulation else native,
        )
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "GeForce")

    return have


@pytest.mark.parametrize(
    ("device", "machine", "expected"),
    [
        (CPU, {"cpuinfo": PROCESSORS["Zen 4"][0]}, "bfloat16"),
        (CPU, {"cpuinfo": PROCESSORS["Zen 3"][0]}, "float32"),
        (CPU, {"cpuinfo": PROCESSORS["Zen 4"][0], "limit": "AVX2"}, "float32"),
        (CPU, {"cpuinfo": PROCESSORS["Zen 3"][0], "gpu": (True, True)}, "float32"),
        (GPU, {"cpuinfo": PROCESSORS["Zen 3"][0], "gpu": (True, True)}, "bfloat16"),
        (GPU, {"cpuinfo": PROCESSORS["Zen 4"][0], "gpu": (False, True)}, "float32"),
        (GPU, {"cpuinfo": PROCESSORS["Zen 4"][0], "gpu": (False, False)}, "float32"),
    ],
)
def test_trainings_take_what_the_device_has_instructions_for(on, device, machine, expected):
    on(**machine)
    assert quicker(device) == expected


@pytest.mark.parametrize(
    ("asked", "auto", "expected"),
    [
        ("auto", "float32", "float32"),
        ("auto", "bfloat16", "bfloat16"),
        ("float32", "bfloat16", "float32"),
        ("bfloat16", "float32", "bfloat16"),
    ],
)
def test_what_is_asked_for_is_taken_and_auto_is_never_an_answer(asked, auto, expected):
    assert settle(asked, CPU, auto=auto) == expected
    assert settle("auto", CPU) == "float32"


@pytest.mark.parametrize("precision", ["half", "float16", "AUTO", "", "bf16", "float64"])
def test_another_precision_is_refused(precision):
    message = rf"^precision must be auto, float32 or bfloat16, got '{precision}'$"
    with pytest.raises(BadValueError, match=message):
        settle(precision, CPU)


def test_a_device_without_bfloat16_refuses_it_and_takes_what_is_left_open(on):
    on(gpu=(False, False))
    with pytest.raises(
        BadValueError, match=r"^GeForce has no bfloat16, got .*--precision float32$"
    ):
        settle("bfloat16", GPU)
    assert settle("auto", GPU, auto=quicker(GPU)) == "float32"
    on(gpu=(False, True))
    assert settle("bfloat16", GPU) == "bfloat16"


@pytest.fixture
def clock(monkeypatch):
    """A clock that goes on only where something is said to take time."""

    class Clock:
        now = 0.0

        def perf_counter(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr(precision, "time", clock)
    return clock


@pytest.mark.parametrize("times", [0.5, 1.0, 1.1, 1.3, 37.0])
@pytest.mark.parametrize("speed", [1e-5, 1e-3, 0.1, 3.0])
def test_the_slowdown_is_that_of_the_passes_and_is_found_in_about_a_second(clock, times, speed):
    seen = []

    def passes(n, one):
        seen.append((n, one))
        first = seen.count((n, one)) == 1  # setting up
        clock.now += speed * (n + 5 * first) * (times if one == "bfloat16" else 1.0)

    ratio = slowdown(passes, CPU, most=64)
    assert ratio == pytest.approx(times)
    assert is_slower(ratio) is (times > 1.2)
    assert {one for _, one in seen} == set(PRECISIONS)
    most = max(n for n, _ in seen)
    assert most == 64 or clock.now > 0.2
    assert clock.now < 1.5 or most == 2  # the least that is measured


def test_one_image_is_enough_to_measure_with(clock):
    def passes(n, one):
        clock.now += n * (2.0 if one == "bfloat16" else 1.0)

    assert slowdown(passes, CPU, most=1) == 2
