"""The cache that Hugging Face's library keeps of a hub, on a machine without a network."""

import json
import shutil

import timm
from timm.models._hub import has_hf_hub

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def fill_cache(cache, repository, folder):
    """Put a folder into a cache as a repository's newest revision."""
    place = cache / f"models--{repository.replace('/', '--')}"
    (place / "refs").mkdir(parents=True)
    (place / "refs" / "main").write_text(COMMIT)
    shutil.copytree(folder, place / "snapshots" / COMMIT)


def use_cache(monkeypatch, cache):
    """Let the library look there, and nowhere else."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def by_timm(folder, repository):
    """Return what timm makes of a folder, which the cache has as a repository, by its own code.

    timm 1.0.9 knows no folders, and no hub where the library of this is a newer one than it asks
    for: then it is given what it would take from there.
    """
    if has_hf_hub():
        return timm.create_model(f"hf-hub:{repository}", pretrained=True)
    config = json.loads((folder / "config.json").read_text())
    cfg = config["pretrained_cfg"] | {"num_classes": config["num_classes"]}
    return timm.create_model(
        config["architecture"],
        pretrained=True,
        pretrained_cfg=cfg | {"file": str(folder / "model.safetensors")},
        **config.get("model_args", {}),
    )
