"""Dialects of projects that pretrain encoders, and of model libraries, a row each."""

from types import MappingProxyType

from clbench.models.checkpoints.dialect import (
    CIFAR10,
    CIFAR10_KUANGLIU,
    CIFAR100,
    HALF,
    IMAGENET,
    NO_NORMALISATION,
    Dialect,
    Dropped,
    Normalisation,
    Outside,
)

_BLOCK = r"layer1\.0\.conv1\.weight$"
_ATTENTION = r"blocks\.0\.attn\.qkv\.weight$"

_SOLO = (
    Outside(CIFAR10, dataset="cifar10"),
    Outside(Normalisation((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)), dataset="cifar100"),
    Outside(Normalisation((0.4914, 0.4823, 0.4466), (0.247, 0.243, 0.261)), dataset="stl10"),
    Outside(IMAGENET, dataset="imagenet"),
    Outside(IMAGENET, dataset="imagenet100"),
    Outside(CIFAR10, stem=3, n_classes=10),
    Outside(
        Normalisation((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)), stem=3, n_classes=100
    ),
    Outside(IMAGENET, stem=7, n_classes=1000),
    Outside(IMAGENET, unsure=True),
    Outside(CIFAR10, unsure=True),
)
"""By data set, or else by what the file tells of it: stem, and classes of the online classifier."""

_SOLO_DROPS = (
    Dropped(r"(momentum_)?(projector|predictor|classifier)\.", "heads of the pretext task"),
    Dropped(r"momentum_(backbone|encoder)\.", "the moving average of the encoder"),
    Dropped(r"(queue|prototypes|dino_loss_func|whitening|knn)\b", "state of the pretext task"),
    Dropped(r"queue_\w+$", "state of the pretext task"),
)

PRETRAINING = (
    Dialect(
        name="solo-learn",
        project="solo-learn, pretraining",
        source="vturrisi/solo-learn 9187ea3",
        tables=("state_dict",),
        keys=("hyper_parameters",),
        marks=(r"(backbone|encoder)\.", r"(projector|prototypes|predictor)\."),
        absent=(r"projection_head\.", r"(backbone|encoder)\.normalize\.mean$"),
        prefix=r"(backbone|encoder)\.",
        drops=_SOLO_DROPS,
        outside=_SOLO,
        facts=MappingProxyType({"stem_padding": 2}),
        dataset_at=("hyper_parameters.data.dataset", "hyper_parameters.dataset"),
    ),
    Dialect(
        name="solo-learn-linear",
        project="solo-learn, linear evaluation",
        source="vturrisi/solo-learn 9187ea3",
        tables=("state_dict",),
        keys=("hyper_parameters",),
        marks=(r"(backbone|encoder)\.", r"classifier\.weight$"),
        absent=(r"(projector|prototypes|predictor|projection_head)\.", r"backbone\.normalize"),
        prefix=r"((backbone|encoder)\.)|(?=classifier\.)",
        outside=_SOLO,
        facts=MappingProxyType({"stem_padding": 2}),
        dataset_at=("hyper_parameters.data.dataset", "hyper_parameters.dataset"),
    ),
    Dialect(
        name="lightly",
        project="lightly, on torchvision's ResNets",
        source="lightly-ai/lightly e8d317f",
        tables=("state_dict",),
        marks=(
            r"(model\.)?(backbone|features)\.(7\.0\.conv1|layer4\.0\.conv1)\.weight$",
            r"(model\.)?(projection_head|online_classifier)\.",
        ),
        prefix=r"(model\.)?(backbone|features)\.",
        renames=(
            *((r"^0\.", "conv1."), (r"^1\.", "bn1.")),
            *((rf"^{k + 3}\.", f"layer{k}.") for k in range(1, 5)),
        ),
        drops=(
            Dropped(r"(model\.)?(projection|prediction)_head(_momentum)?\.", "pretext heads"),
            Dropped(r"(model\.)?(backbone_momentum|teacher_\w+|key_\w+)\.", "the moving average"),
            Dropped(r"(online|knn)_classifier\.", "classifiers that were trained beside"),
            Dropped(r"criterion\.", "state of the loss"),
        ),
        outside=(Outside(IMAGENET),),
    ),
    Dialect(
        name="lightly-cifar",
        project="lightly, on its own ResNets for small images",
        source="lightly-ai/lightly e8d317f",
        tables=("state_dict",),
        marks=(
            r"(model\.)?(backbone|features)\.3\.0\.shortcut\.0\.weight$",
            r"(model\.)?projection_head\.",
        ),
        prefix=r"(model\.)?(backbone|features)\.",
        renames=(
            *((r"^0\.", "conv1."), (r"^1\.", "bn1.")),
            *((rf"^{k + 1}\.", f"layer{k}.") for k in range(1, 5)),
        ),
        drops=(
            Dropped(r"(model\.)?(projection|prediction)_head(_momentum)?\.", "pretext heads"),
            Dropped(r"(model\.)?(backbone_momentum|teacher_\w+|key_\w+)\.", "the moving average"),
            Dropped(r"criterion\.", "state of the loss"),
        ),
        outside=(Outside(IMAGENET),),
        # its stem has a ReLU only as a function, lost where the modules are strung together
        facts=MappingProxyType({"stem_relu": False}),
    ),
    Dialect(
        name="moco",
        project="MoCo v1 and v2",
        source="facebookresearch/moco 4397a04",
        tables=("state_dict",),
        marks=(r"encoder_q\.layer1\.0\.conv1\.weight$", r"queue$"),
        prefix=r"encoder_q\.",
        drops=(
            Dropped(r"encoder_k\.", "the moving average of the encoder"),
            Dropped(r"queue(_ptr)?$", "keys"),
            Dropped(r"encoder_q\.fc\.", "projector"),
        ),
        outside=(Outside(IMAGENET),),
    ),
    Dialect(
        name="moco-v3",
        project="MoCo v3",
        source="facebookresearch/moco-v3 c349e6e",
        tables=("state_dict",),
        marks=(r"base_encoder\.", r"momentum_encoder\."),
        prefix=r"base_encoder\.",
        drops=(
            Dropped(r"momentum_encoder\.", "the moving average of the encoder"),
            Dropped(r"predictor\.", "predictor"),
            Dropped(r"base_encoder\.(head|fc)\.", "projector"),
        ),
        outside=(Outside(IMAGENET),),
        # its ViT-S has 12 heads, all others' have 6
        facts=MappingProxyType({"heads": {384: 12, 768: 12}}),
    ),
    Dialect(
        name="dino",
        project="DINO",
        source="facebookresearch/dino 7c446df",
        tables=("teacher",),
        keys=("student",),
        marks=(r"backbone\.", r"head\."),
        prefix=r"backbone\.",
        drops=(Dropped(r"head\.", "projector"),),
        outside=(Outside(IMAGENET),),
        facts=MappingProxyType({"heads": {192: 3, 384: 6, 768: 12}}),
    ),
    Dialect(
        name="vissl",
        project="VISSL",
        source="facebookresearch/vissl 09270ed",
        tables=("classy_state_dict.base_model.model.trunk",),
        marks=(r"_feature_blocks\.layer1\.0\.conv1\.weight$",),
        prefix=r"_feature_blocks\.",
        outside=(Outside(IMAGENET),),
    ),
    Dialect(
        name="supcontrast",
        project="SupContrast: SupCon and SimCLR",
        source="HobbitLong/SupContrast 66a8fe5",
        tables=("model",),
        keys=("opt",),
        marks=(r"encoder\.layer1\.0\.conv1\.weight$", r"head\."),
        prefix=r"encoder\.",
        drops=(Dropped(r"head\.", "projector"),),
        outside=(
            Outside(CIFAR10_KUANGLIU, dataset="cifar10"),
            Outside(CIFAR100, dataset="cifar100"),
            Outside(CIFAR10_KUANGLIU, unsure=True),
            Outside(CIFAR100, unsure=True),
        ),
        dataset_at=("opt.dataset",),
    ),
    Dialect(
        name="supcontrast-ce",
        project="SupContrast: cross-entropy",
        source="HobbitLong/SupContrast 66a8fe5",
        tables=("model",),
        keys=("opt",),
        marks=(r"encoder\.layer1\.0\.conv1\.weight$", r"fc\.weight$"),
        prefix=r"(encoder\.)|(?=fc\.)",
        outside=(
            Outside(CIFAR10_KUANGLIU, dataset="cifar10"),
            Outside(CIFAR100, dataset="cifar100"),
            Outside(CIFAR10_KUANGLIU, n_classes=10),
            Outside(CIFAR100, n_classes=100),
        ),
        dataset_at=("opt.dataset",),
    ),
    Dialect(
        name="simclr",
        project="SimCLR (sthalles)",
        source="sthalles/SimCLR 1848fc9",
        tables=("state_dict",),
        keys=("arch",),
        marks=(r"backbone\.layer1\.0\.conv1\.weight$", r"backbone\.fc\.2\.weight$"),
        prefix=r"backbone\.",
        drops=(Dropped(r"backbone\.fc\.", "projector"),),
        outside=(Outside(NO_NORMALISATION),),
    ),
)

LIBRARIES = (
    Dialect(
        name="torchvision",
        project="torchvision, the ImageNet example of PyTorch, and timm's ResNets",
        source="pytorch/vision 0.29.1",
        tables=("state_dict", "model", ""),
        without=("best_prec1", "test_robust_acc"),
        marks=(r"conv1\.weight$", r"layer2\.0\.downsample\.0\.weight$", r"fc\.weight$"),
        absent=(r"(mu|sigma|mean|std|normalize\.mean)$",),
        outside=(Outside(IMAGENET, stem=7), Outside(IMAGENET, unsure=True)),
    ),
    Dialect(
        name="timm",
        project="timm's ViTs",
        source="huggingface/pytorch-image-models 1.0.9",
        tables=("state_dict", "model", "state_dict_ema", "model_ema", ""),
        without=("teacher",),
        marks=(r"patch_embed\.proj\.weight$", _ATTENTION, r"head\.weight$"),
        outside=(Outside(IMAGENET, unsure=True), Outside(HALF, unsure=True)),
    ),
    Dialect(
        name="vit-encoder",
        project="a ViT without its head, as DINO's hub and timm have it",
        source="facebookresearch/dino 7c446df",
        tables=("state_dict", "model", ""),
        without=("teacher",),
        marks=(r"patch_embed\.proj\.weight$", _ATTENTION, r"norm\.weight$"),
        absent=(r"(head|fc)\.",),
        outside=(Outside(IMAGENET, unsure=True), Outside(HALF, unsure=True)),
    ),
    Dialect(
        name="resnet-encoder",
        project="torchvision's ResNet without its classifier, as DINO's hub has it",
        source="facebookresearch/dino 7c446df",
        tables=("state_dict", "model", ""),
        without=("teacher", "rng_state"),
        marks=(r"conv1\.weight$", r"bn1\.weight$", r"layer2\.0\.downsample\.0\.weight$"),
        absent=(r"(fc|linear|mu|sigma|mean|std|normalize)\b",),
        outside=(Outside(IMAGENET, stem=7), Outside(IMAGENET, unsure=True)),
    ),
    Dialect(
        name="cifar-resnet",
        project="a ResNet for small images as many have it, without a word of its images",
        source="yaodongyu/TRADES 6e8e11b",
        tables=("state_dict", "model", ""),
        marks=(_BLOCK, r"layer2\.0\.shortcut\.0\.weight$", r"bn1\.weight$", r"linear\.weight$"),
        absent=(r"(mu|sigma|mean|std|normalize.*)$", r"head_\w+\."),
        outside=(
            Outside(NO_NORMALISATION, unsure=True),
            Outside(CIFAR10, unsure=True),
            Outside(CIFAR10_KUANGLIU, unsure=True),
        ),
    ),
)
"""Said by the source of each; checked against names and shapes in ``tests/models/dialects``."""
