"""One small network in many strange dresses, each with what should become of it."""

import copy
import io
import random
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune

from clbench.models import CifarResNet


class Plain(nn.Module):
    """Small, but with all that is usual: convolution, batch norm, dropout, classifier."""

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            self.conv = nn.Conv2d(1, 6, 3, stride=2, padding=1)
            self.norm = nn.BatchNorm2d(6)
            self.dropout = nn.Dropout(0.5)
            self.fc = nn.Linear(96, 4)

    def forward(self, x):
        return self.fc(self.dropout(self.norm(self.conv(x)).relu()).flatten(1))


def plain():
    return Plain().eval()


class Around(nn.Module):
    """The network, with something before it and something after it."""

    def __init__(self, before=lambda x: x, after=lambda z: z, inner=None):
        super().__init__()
        self.before, self.after = before, after
        self.inner = inner or plain()

    def forward(self, x):
        return self.after(self.inner(self.before(x)))


def seeding(seed):
    def before(x):
        seed(0)
        return x

    return Around(before)


def drawing(x):
    torch.rand(3), np.random.rand(3), random.random()  # noqa: NPY002 - draws and forgets
    return x


def exported(batch):
    return torch.export.export(plain(), (torch.rand(batch, 1, 8, 8),)).module()


def exported_for_any_batch():
    shapes = ({0: torch.export.Dim("batch")},)
    return torch.export.export(plain(), (torch.rand(2, 1, 8, 8),), dynamic_shapes=shapes).module()


class FixedView(Plain):
    """A view with the number of images written down, as export scripts leave it."""

    def forward(self, x):
        return self.fc(self.norm(self.conv(x)).relu().view(5, 96))


class CompiledForward(Plain):
    @torch.compile(backend="aot_eager")
    def forward(self, x):
        return super().forward(x)


def compiled_in_place():
    network = plain()
    network.compile(backend="aot_eager")
    return network


def saved_and_loaded():
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(plain()), buffer)
    buffer.seek(0)
    return torch.jit.load(buffer)


def made_in_inference_mode():
    with torch.inference_mode():
        return plain()


class OwnFolded(Plain):
    def folded(self):
        return nn.Linear(1, 1)


class PaperFolded(Plain):
    folded = "a paper, folded"


class Inverting(CifarResNet):
    """A subclass of a network of clbench's: what it inherits is not all that it does."""

    def forward(self, x):
        return super().forward(1 - x)


def subclass_of_ours():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        from timm.models.resnet import BasicBlock

        return Inverting(BasicBlock, (1, 1, 1, 1), num_classes=4, in_chans=1, width=4).eval()


def with_head(change):
    network = plain()
    change(network.fc)
    return network


def pruned():
    network = plain()
    prune.l1_unstructured(network.fc, "weight", amount=0.3)
    return network


def lazy_but_run():
    network = nn.Sequential(nn.Flatten(), nn.LazyLinear(4))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network(torch.rand(1, 1, 8, 8))
    return network


class NoEval(Plain):
    def train(self, mode=True):
        return self if mode else super().train(mode)


class Hidden(nn.Module):
    """Its network is in a list, where torch does not see it."""

    def __init__(self):
        super().__init__()
        self.hidden = [plain()]

    def forward(self, x):
        return self.hidden[0](x)


class Options(Plain):
    def forward(self, x, *, return_features=False):
        return (None, None) if return_features else super().forward(x)


class Stateful(Plain):
    def __init__(self):
        super().__init__()
        self.calls = nn.Buffer(torch.tensor(0))

    def forward(self, x):
        self.calls += 1
        return super().forward(x)


class ReturningStep(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        raise NotImplementedError("this step has no derivative")


def hooked():
    network = plain()
    network.register_forward_pre_hook(lambda _module, args: (args[0] * 1.0,))
    return network


def checkpointed(x, inner):
    return torch.utils.checkpoint.checkpoint(inner, x, use_reentrant=False)


class Checkpointed(Plain):
    def forward(self, x):
        return checkpointed(x, super().forward)


def functional():
    network = plain()
    state = {name: value.detach() for name, value in network.state_dict().items()}
    return Around(inner=Called(network, state))


class Called(nn.Module):
    def __init__(self, network, state):
        super().__init__()
        self.call = lambda x: torch.func.functional_call(network, state, (x,))

    def forward(self, x):
        return self.call(x)


class Disconnected(Plain):
    """Wants a gradient for something else than the images."""

    def __init__(self):
        super().__init__()
        self.prompt = torch.zeros(4, requires_grad=True)

    def forward(self, x):
        return super().forward(x.detach()) + self.prompt


class Reversing(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        return -gradient


def by_chance(x):
    if x.requires_grad:
        x.register_hook(lambda gradient: torch.rand_like(gradient) - 0.5)
    return x


def half_detached(x):
    return torch.cat([x[..., :4].detach(), x[..., 4:]], -1)


class Cached(Plain):
    """Keeps a buffer as long as there are images, as position and mask caches do."""

    def __init__(self):
        super().__init__()
        self.register_buffer("ones", torch.zeros(0))

    def forward(self, x):
        if len(self.ones) != len(x):
            self.ones = x.new_ones(len(x))
        return super().forward(x) * self.ones[:, None]


class SwitchingOff(Plain):
    def forward(self, x):
        torch.set_default_dtype(torch.float64)
        return super().forward(x)


class ForInference(Plain):
    @torch.inference_mode()
    def forward(self, x):
        return super().forward(x)


class UnderNoGrad(Plain):
    @torch.no_grad()
    def forward(self, x):
        return super().forward(x)


class ClassifierInDouble(Plain):
    def __init__(self):
        super().__init__()
        self.fc.double()

    def forward(self, x):
        return self.fc(self.norm(self.conv(x)).relu().flatten(1).double())


class ConvolutionInHalf(Plain):
    def __init__(self):
        super().__init__()
        self.conv.half()

    def forward(self, x):
        return self.fc(self.norm(self.conv(x.half()).float()).relu().flatten(1))


def partly_on_meta():
    network = plain()
    network.fc.to("meta")
    return network


class Strange(NamedTuple):
    """A dress; ``flags`` are those that it raises, ``refused`` the words of its refusal.

    Its robust accuracy is that of ``like`` under the same attack, where that is not None, but for
    ``apart`` images.
    """

    name: str
    make: object
    flags: tuple[str, ...] = ()
    refused: str = ""
    like: object = plain
    apart: int = 0


NO_GRADIENT = "no gradient of the network reaches its images"

ROWS = (
    Strange("scripted", lambda: torch.jit.script(plain())),
    Strange("scripted, frozen", lambda: torch.jit.freeze(torch.jit.script(plain()))),
    Strange("scripted, saved and loaded", saved_and_loaded),
    Strange("traced", lambda: torch.jit.trace(plain(), torch.rand(2, 1, 8, 8))),
    Strange(
        "traced with a fixed view",
        lambda: torch.jit.trace(FixedView().eval(), torch.rand(5, 1, 8, 8)),
    ),
    Strange("compiled", lambda: torch.compile(plain(), backend="eager")),
    Strange("compiled ahead of time", lambda: torch.compile(plain(), backend="aot_eager")),
    Strange("compiled in place", compiled_in_place),
    Strange("compiled forward", CompiledForward),
    Strange("exported for one image", partial(exported, 1)),
    Strange("exported for four images", partial(exported, 4)),
    Strange("exported for any batch", exported_for_any_batch),
    Strange("symbolically traced", lambda: torch.fx.symbolic_trace(plain())),
    Strange("fixed view", FixedView),
    Strange("data parallel", lambda: nn.DataParallel(plain())),
    Strange("in double precision", lambda: plain().double()),
    Strange("in half precision", lambda: plain().half(), like=None),
    Strange("classifier in double precision", ClassifierInDouble),
    Strange("convolution in half precision", ConvolutionInHalf, like=None),
    Strange("in bfloat16", lambda: plain().bfloat16(), like=None),
    Strange("made in inference mode", made_in_inference_mode),
    Strange(
        "parameters that want no gradient", lambda: plain().requires_grad_(requires_grad=False)
    ),
    Strange("centred in place", lambda: Around(lambda x: x.mul_(1.0))),
    Strange(
        "centred in place, really",
        lambda: Around(lambda x: x.sub_(0.25)),
        like=lambda: Around(lambda x: x - 0.25),
    ),
    Strange("rectified in place", lambda: Around(nn.functional.relu_)),
    Strange("squeezed", lambda: Around(after=torch.squeeze)),
    Strange("seeds torch", lambda: seeding(torch.manual_seed)),
    Strange("seeds numpy", lambda: seeding(np.random.seed)),
    Strange("seeds Python", lambda: seeding(random.seed)),
    Strange("draws and forgets", lambda: Around(drawing)),
    Strange("folded of its own", OwnFolded),
    Strange("folded is no method", PaperFolded),
    Strange("subclass of ours", subclass_of_ours, like=subclass_of_ours),
    Strange("weight norm", lambda: with_head(parametrizations.weight_norm)),
    Strange("weight norm, old", lambda: with_head(nn.utils.weight_norm)),
    Strange(
        "spectral norm",
        lambda: with_head(parametrizations.spectral_norm),
        like=lambda: with_head(parametrizations.spectral_norm),
    ),
    Strange("pruned", pruned, like=pruned),
    Strange("lazy, run once", lazy_but_run, like=lazy_but_run),
    Strange("left in training mode", lambda: plain().train()),
    Strange("without training mode", NoEval),
    Strange("hidden in a list", Hidden),
    Strange("with options", Options),
    Strange("counts its calls", Stateful),
    Strange("with a hook", hooked),
    Strange("checkpointed", Checkpointed),
    Strange("functional", functional),
    Strange("averaged", lambda: torch.optim.swa_utils.AveragedModel(plain())),
    Strange("a cache of its own", Cached),
    Strange("another default precision", SwitchingOff),
    Strange("log-probabilities", lambda: Around(after=lambda z: z.log_softmax(1))),
    Strange("tiny logits", lambda: Around(after=lambda z: z * 1e-15), apart=1),
    Strange("huge logits", lambda: Around(after=lambda z: z * 1e6), apart=1),
    Strange(
        "in double precision with tiny logits",
        lambda: Around(lambda x: x.double(), lambda z: z * 1e-60, plain().double()),
        apart=1,
    ),
    Strange("channels last", lambda: plain().to(memory_format=torch.channels_last)),
    Strange("behind a copy", lambda: copy.deepcopy(plain())),
    # what cannot be right is flagged
    Strange(
        "through numpy",
        lambda: Around(lambda x: torch.from_numpy(x.numpy().copy())),
        refused=NO_GRADIENT,
        like=None,
    ),
    Strange(
        "without a derivative",
        lambda: Around(ReturningStep.apply),
        refused=NO_GRADIENT,
        like=None,
    ),
    Strange("under no_grad", UnderNoGrad, refused=NO_GRADIENT, like=None),
    Strange("gradient elsewhere", Disconnected, refused=NO_GRADIENT, like=None),
    Strange(
        "probabilities",
        lambda: Around(after=lambda z: z.softmax(1)),
        ("softmax_output",),
        like=None,
    ),
    Strange(
        "probabilities in half precision",
        lambda: Around(after=lambda z: z.half().softmax(1)),
        ("softmax_output",),
        like=None,
    ),
    Strange(
        "behind a sigmoid",
        lambda: Around(after=lambda z: (30 * z).sigmoid()),
        ("bounded_output",),
        like=None,
    ),
    Strange(
        "behind a tanh",
        lambda: Around(after=lambda z: (99 * z).tanh()),
        ("bounded_output",),
        like=None,
    ),
    Strange(
        "less the mean of its batch",
        lambda: Around(lambda x: x - x.mean(0)),
        ("batch_dependent",),
        like=None,
    ),
    Strange(
        "another answer with gradients",
        lambda: Around(lambda x: 1 - x if torch.is_grad_enabled() else x),
        ("gradient_mode",),
        like=None,
    ),
    Strange(
        "random",
        lambda: Around(lambda x: x + 0.1 * torch.randn_like(x)),
        ("randomized",),
        like=None,
    ),
    Strange("in inference mode", ForInference, refused=NO_GRADIENT, like=None),
    Strange("gradient reversed", lambda: Around(Reversing.apply), ("wrong_gradient",), like=None),
    Strange("gradient by chance", lambda: Around(by_chance), ("wrong_gradient",), like=None),
    Strange("half detached", lambda: Around(half_detached), ("wrong_gradient",), like=None),
    Strange(
        "masked and random",
        lambda: Around(
            lambda x: x + 0.1 * torch.randn_like(x),
            lambda z: torch.cat([z, torch.full((len(z), 90), -1e9)], 1),
        ),
        ("randomized",),
        like=None,
    ),
    Strange(
        "masked and dependent on its batch",
        lambda: Around(
            lambda x: x - 0.5 * x.mean(0),
            lambda z: torch.cat([z, torch.full((len(z), 90), -1e9)], 1),
        ),
        ("batch_dependent",),
        like=None,
    ),
    Strange(
        "dependent on large batches only",
        lambda: Around(lambda x: x if len(x) < 17 else x - 0.5 * x.mean(0)),
        ("batch_dependent",),
        like=None,
    ),
    Strange(
        "negated probabilities",
        lambda: Around(after=lambda z: -(-3 * z).softmax(1)),
        ("softmax_output",),
        like=None,
    ),
    # and what cannot be run is refused
    Strange(
        "masked with minus infinity",
        lambda: Around(after=lambda z: z.index_fill(1, torch.tensor([1]), -torch.inf)),
        refused="mask classes with a large negative number",
    ),
    Strange(
        "lazy",
        lambda: nn.Sequential(nn.Flatten(), nn.LazyLinear(4)),
        refused="lazy layers, '1.weight' has no shape yet; run it once",
    ),
    Strange(
        "a pair of answers",
        lambda: Around(after=lambda z: (z, z)),
        refused="got a tuple with 0 [16, 4], 1 [16, 4]; say which they are, such as --output 0",
    ),
    Strange("a table of logits", lambda: Around(after=lambda z: {"logits": z})),
    Strange(
        "class numbers",
        lambda: Around(after=lambda z: z.argmax(1)),
        refused="must return floating-point logits, got torch.int64",
    ),
    Strange("partly on no device", partly_on_meta, refused="no values for 'fc.weight'"),
    Strange("on no device", lambda: plain().to("meta"), refused="on device meta"),
    Strange(
        "for other channels", lambda: Around(lambda x: x.repeat(1, 3, 1, 1)), refused="channels"
    ),
    Strange(
        "not a number",
        lambda: Around(after=lambda z: z * float("nan")),
        refused="NaN or infinite logits",
    ),
)
