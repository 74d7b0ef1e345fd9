"""Dialects of projects that train robust networks, a row each."""

from types import MappingProxyType

from clbench.models.checkpoints.dialect import (
    CIFAR10,
    CIFAR10_KUANGLIU,
    HALF,
    IMAGENET,
    NO_NORMALISATION,
    Dialect,
    Dropped,
    Normalisation,
    Outside,
)

_BLOCK, _SHORTCUT = r"layer1\.0\.conv1\.weight$", r"layer2\.0\.shortcut\.0\.weight$"
_WIDE, _DUAL = r"block1\.layer\.0\.conv1\.weight$", r"bn1\.bn_list\.0\.weight$"
_ACTIVATED = MappingProxyType({"shortcut_of": "activated"})
_INSIDE = ("normalize.mean", "normalize.std")
_PROJECTOR = Dropped(r"fc\.(fc|bn)\d\.", "projector")
_UNUSED = Dropped(r"sub_block1\.", "blocks that the forward pass never enters")

_AWP_CIFAR100 = Outside(
    Normalisation(
        (0.5070751592371323, 0.48654887331495095, 0.4409178433670343),
        (0.2673342858792401, 0.2564384629170883, 0.27615047132568404),
    ),
    n_classes=100,
)

ROBUST = (
    Dialect(
        name="rocl",
        project="RoCL",
        source="Kim-Minseon/RoCL b6d5185",
        tables=("model",),
        wrapped=True,
        marks=(_BLOCK, _SHORTCUT, r"bn1\.weight$"),
        absent=(r"(linear|fc|head_\w+)\.",),
        outside=(Outside(NO_NORMALISATION),),
    ),
    Dialect(
        name="acl",
        project="ACL, and the linear heads of DynACL++",
        source="VITA-Group/Adversarial-Contrastive-Learning 399eabd",
        tables=("state_dict",),
        keys=("optim",),
        marks=(r"conv1\.weight$", r"normalize\.mean$", _BLOCK),
        drops=(_PROJECTOR,),
        inside=_INSIDE,
    ),
    Dialect(
        name="dynacl",
        project="DynACL, DynACL++, DynACL-AIR, RCS: weights alone",
        source="PKU-ML/DYNACL 7d143db",
        tables=("state_dict", "state_dict_dual", ""),
        without=("optim",),
        marks=(_DUAL, r"normalize\.mean$", _BLOCK),
        drops=(_PROJECTOR,),
        inside=_INSIDE,
    ),
    Dialect(
        name="dynacl-training",
        project="DynACL, to be resumed",
        source="PKU-ML/DYNACL 7d143db",
        tables=("state_dict",),
        marks=(r"encoder_k\.bn1\.bn_list\.0\.weight$", r"encoder_k\.normalize\.mean$"),
        prefix=r"encoder_k\.",
        drops=(
            Dropped(r"encoder_q\.", "the encoder whose moving average encoder_k is"),
            Dropped(r"encoder_k\.fc\.(fc|bn)\d\.", "projector"),
        ),
        inside=("encoder_k.normalize.mean", "encoder_k.normalize.std"),
    ),
    Dialect(
        name="advcl",
        project="AdvCL, A-InfoNCE",
        source="LijieFan/AdvCL 24cb7a6",
        tables=("model", "state_dict"),
        marks=(r"bn1\.bn_list\.2\.weight$", _BLOCK),
        drops=(
            Dropped(r"head_(ce|proj|pred)\.", "heads of the pretext task"),
            Dropped(r"fc_\d+\.", "classifiers of pseudo-labels"),
        ),
        outside=(Outside(NO_NORMALISATION),),
    ),
    Dialect(
        name="advcl-slf",
        project="AdvCL with its linear classifier",
        source="LijieFan/AdvCL 24cb7a6",
        tables=("model",),
        keys=("classifier",),
        marks=(_BLOCK, _SHORTCUT, r"head_proj\.0\.weight$"),
        drops=(
            Dropped(r"head_(proj|pred)\.", "heads of the pretext task"),
            Dropped(r"linear\.", "a layer that was never trained"),
        ),
        outside=(Outside(NO_NORMALISATION),),
        classifier="classifier",
    ),
    Dialect(
        name="deacl",
        project="DeACL",
        source="pantheon5100/DeACL 3fb81e3",
        tables=("state_dict",),
        marks=(r"backbone\.normalize\.mean$", r"backbone\.layer1\.0\.conv1\.weight$"),
        prefix=r"backbone\.",
        drops=(
            Dropped(r"momentum_(backbone|projector|classifier)\.", "the teacher"),
            Dropped(r"classifier(_adv)?\.", "classifiers that were trained beside"),
            Dropped(r"(projector|queue)\b", "heads of the pretext task"),
        ),
        inside=("backbone.normalize.mean", "backbone.normalize.std"),
        facts=MappingProxyType({"stem_padding": 2}),
    ),
    Dialect(
        name="robustbench",
        project="RobustBench's zoo",
        source="RobustBench/robustbench 1.1.1",
        tables=("state_dict", ""),
        marks=(r"(mu|sigma)$", r"((layer1\.0)|(block1\.layer\.0))\.conv1\.weight$"),
        drops=(_UNUSED,),
        inside=("mu", "sigma"),
    ),
    Dialect(
        name="robustbench-imagenet",
        project="RobustBench's zoo, a normalisation before a model",
        source="RobustBench/robustbench 1.1.1",
        tables=("state_dict", ""),
        marks=(r"normalize\.(mean|std)$", r"model\."),
        prefix=r"model\.",
        inside=_INSIDE,
    ),
    Dialect(
        name="madrylab",
        project="MadryLab robustness",
        source="MadryLab/robustness a954124",
        tables=("model", "state_dict"),
        marks=(r"normalizer\.new_mean$", r"model\."),
        prefix=r"model\.",
        drops=(Dropped(r"attacker\.", "a second copy, for the attacker"),),
        inside=("normalizer.new_mean", "normalizer.new_std"),
    ),
    Dialect(
        name="fast-adversarial",
        project="fast_adversarial",
        source="locuslab/fast_adversarial 54f7287",
        wrapped=False,
        marks=(_BLOCK, r"layer1\.0\.bn1\.weight$", r"bn\.weight$", r"linear\.weight$"),
        absent=(r"(mu|sigma|mean|std|bn1\.weight)$",),
        outside=(Outside(CIFAR10),),
        facts=MappingProxyType({"shortcut_of": "input"}),
    ),
    Dialect(
        name="trades",
        project="TRADES",
        source="yaodongyu/TRADES 6e8e11b",
        wrapped=False,
        marks=(_WIDE, r"bn1\.weight$", r"fc\.weight$"),
        absent=(r"(mu|sigma|mean|std)$",),
        drops=(_UNUSED,),
        outside=(Outside(NO_NORMALISATION),),
    ),
    Dialect(
        name="awp-best",
        project="AWP (AT-AWP) and robust_overfitting: the best epoch",
        source="csdongxian/AWP a7acf5d",
        tables=("state_dict",),
        keys=("test_robust_acc",),
        marks=(r"((layer1\.0)|(block1\.layer\.0))\.bn1\.weight$",),
        absent=(r"(mu|sigma|mean|std)$",),
        drops=(_UNUSED,),
        outside=(_AWP_CIFAR100, Outside(CIFAR10)),
        facts=_ACTIVATED,
    ),
    Dialect(
        name="awp",
        project="AWP (AT-, TRADES- and RST-AWP): any epoch",
        source="csdongxian/AWP a7acf5d",
        wrapped=True,
        marks=(r"((layer1\.0)|(block1\.layer\.0))\.bn1\.weight$", r"conv1\.weight$"),
        absent=(r"(mu|sigma|mean|std|bn1\.bn_list.*|normalize\..*|layer1\.0\.downsample.*)$",),
        drops=(_UNUSED,),
        outside=(
            Outside(NO_NORMALISATION, unsure=True),
            Outside(CIFAR10, unsure=True),
            Outside(HALF, unsure=True),
        ),
        facts=_ACTIVATED,
    ),
    Dialect(
        name="pytorch-cifar",
        project="pytorch-cifar (kuangliu) and what is built on it",
        source="kuangliu/pytorch-cifar 49b7aa9",
        tables=("net",),
        keys=("acc", "epoch"),
        marks=(_BLOCK, _SHORTCUT, r"linear\.weight$"),
        outside=(Outside(CIFAR10_KUANGLIU),),
        facts=_ACTIVATED,
    ),
    Dialect(
        name="fast-adversarial-imagenet",
        project="fast_adversarial on ImageNet",
        source="locuslab/fast_adversarial 54f7287",
        tables=("state_dict",),
        keys=("best_prec1", "arch"),
        wrapped=True,
        marks=(_BLOCK, r"layer2\.0\.downsample\.0\.weight$", r"fc\.weight$"),
        outside=(Outside(IMAGENET),),
    ),
)
"""Said by the source of each; checked against names and shapes in ``tests/models/dialects``."""
