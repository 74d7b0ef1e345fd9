"""Networks of other projects written plainly, from names of tensors to logits.

Each is what the project's own source does, as functions, so that nothing of clbench or timm is in
it. Names are those of the project.
"""

import torch
from torch.nn import functional as f

EPS = 1e-5


class Used(dict):
    """Tensors by name that remember which were asked for."""

    def __init__(self, *args):
        super().__init__(*args)
        self.used = set()

    def __getitem__(self, key):
        self.used.add(key)
        return super().__getitem__(key)


def norm(state, name, x):
    mean, var = state[f"{name}.running_mean"], state[f"{name}.running_var"]
    return f.batch_norm(x, mean, var, state[f"{name}.weight"], state[f"{name}.bias"], eps=EPS)


def linear(state, name, x):
    return f.linear(x, state[f"{name}.weight"], state[f"{name}.bias"])


def blocks_of(state, stage):
    k = 0
    while any(key.startswith(f"{stage}.{k}.") for key in state):
        yield f"{stage}.{k}", k == 0
        k += 1


def resnet(
    state,
    x,
    prefix="",
    head="",
    *,
    stem=("conv1", "bn1"),
    stages=("layer1", "layer2", "layer3", "layer4"),
    shortcut=("shortcut.0", "shortcut.1"),
    branch="",
    padding=1,
    stem_relu=True,
    groups=1,
):
    """He et al.: post-activation blocks; stride in the 3x3 convolution of bottlenecks."""
    weight = state[f"{prefix}{stem[0]}.weight"]
    large = weight.shape[-1] == 7
    x = f.conv2d(x, weight, stride=2 if large else 1, padding=3 if large else padding)
    x = norm(state, f"{prefix}{stem[1]}{branch}", x)
    x = x.relu() if stem_relu else x
    x = f.max_pool2d(x, 3, 2, 1) if large else x
    for n, stage in enumerate(stages):
        for name, first in blocks_of(state, prefix + stage):
            stride = 2 if n and first else 1
            x = residual(state, x, name, stride, shortcut, branch, groups)
    x = x.mean(dim=(2, 3))
    return linear(state, head, x) if head else x


def residual(state, x, name, stride, shortcut, branch, groups):
    kept = x
    if f"{name}.{shortcut[0]}.weight" in state:
        kept = f.conv2d(x, state[f"{name}.{shortcut[0]}.weight"], stride=stride)
        kept = norm(state, f"{name}.{shortcut[1]}{branch}", kept)
    if f"{name}.conv3.weight" in state:
        x = f.conv2d(x, state[f"{name}.conv1.weight"])
        x = norm(state, f"{name}.bn1{branch}", x).relu()
        x = f.conv2d(x, state[f"{name}.conv2.weight"], stride=stride, padding=1, groups=groups)
        x = norm(state, f"{name}.bn2{branch}", x).relu()
        x = f.conv2d(x, state[f"{name}.conv3.weight"])
        return (norm(state, f"{name}.bn3{branch}", x) + kept).relu()
    x = f.conv2d(x, state[f"{name}.conv1.weight"], stride=stride, padding=1)
    x = norm(state, f"{name}.bn1{branch}", x).relu()
    x = f.conv2d(x, state[f"{name}.conv2.weight"], padding=1)
    return (norm(state, f"{name}.bn2{branch}", x) + kept).relu()


def preact(state, x, prefix="", head="linear", *, shortcut_of, final=True):
    """He et al.: batch norm and ReLU before each convolution; a final one before the pooling."""
    x = f.conv2d(x, state[f"{prefix}conv1.weight"], padding=1)
    for n in range(1, 5):
        for name, first in blocks_of(state, f"{prefix}layer{n}"):
            stride = 2 if n > 1 and first else 1
            activated = norm(state, f"{name}.bn1", x).relu()
            kept = x
            if f"{name}.shortcut.0.weight" in state:
                start = activated if shortcut_of == "activated" else x
                kept = f.conv2d(start, state[f"{name}.shortcut.0.weight"], stride=stride)
            inner = f.conv2d(activated, state[f"{name}.conv1.weight"], stride=stride, padding=1)
            inner = norm(state, f"{name}.bn2", inner).relu()
            x = f.conv2d(inner, state[f"{name}.conv2.weight"], padding=1) + kept
    x = norm(state, f"{prefix}bn", x).relu() if final else x
    return linear(state, prefix + head, f.avg_pool2d(x, 4).flatten(1))


def wide(state, x, prefix=""):
    """Zagoruyko and Komodakis: wide blocks, whose shortcuts begin after the first activation."""
    x = f.conv2d(x, state[f"{prefix}conv1.weight"], padding=1)
    for n in range(1, 4):
        for name, first in blocks_of(state, f"{prefix}block{n}.layer"):
            stride = 2 if n > 1 and first else 1
            activated = norm(state, f"{name}.bn1", x).relu()
            kept = x
            if f"{name}.convShortcut.weight" in state:
                kept = f.conv2d(activated, state[f"{name}.convShortcut.weight"], stride=stride)
            inner = f.conv2d(activated, state[f"{name}.conv1.weight"], stride=stride, padding=1)
            inner = norm(state, f"{name}.bn2", inner).relu()
            x = kept + f.conv2d(inner, state[f"{name}.conv2.weight"], padding=1)
    x = f.avg_pool2d(norm(state, f"{prefix}bn1", x).relu(), 8).flatten(1)
    return linear(state, f"{prefix}fc", x)


def vit(state, x, prefix="", head="", *, heads):
    """Dosovitskiy et al.: pre-norm blocks, the class token after a last layer norm."""

    def layer_norm(name, t):
        return f.layer_norm(
            t, t.shape[-1:], state[f"{prefix}{name}.weight"], state[f"{prefix}{name}.bias"], 1e-6
        )

    weight = state[f"{prefix}patch_embed.proj.weight"]
    bias = state[f"{prefix}patch_embed.proj.bias"]
    x = f.conv2d(x, weight, bias, stride=weight.shape[-1]).flatten(2).transpose(1, 2)
    token = state[f"{prefix}cls_token"].expand(len(x), -1, -1)

    x = torch.cat([token, x], dim=1) + state[f"{prefix}pos_embed"]
    k = 0
    while f"{prefix}blocks.{k}.norm1.weight" in state:
        block = f"blocks.{k}"
        n, tokens, width = x.shape
        qkv = linear(state, f"{prefix}{block}.attn.qkv", layer_norm(f"{block}.norm1", x))
        q, key, v = qkv.reshape(n, tokens, 3, heads, width // heads).permute(2, 0, 3, 1, 4)
        attention = (q @ key.transpose(-2, -1) / (width // heads) ** 0.5).softmax(dim=-1)
        mixed = (attention @ v).transpose(1, 2).reshape(n, tokens, width)
        x = x + linear(state, f"{prefix}{block}.attn.proj", mixed)
        inner = linear(state, f"{prefix}{block}.mlp.fc1", layer_norm(f"{block}.norm2", x))
        x = x + linear(state, f"{prefix}{block}.mlp.fc2", f.gelu(inner))
        k += 1
    x = layer_norm("norm", x)[:, 0]
    return linear(state, prefix + head, x) if head else x
