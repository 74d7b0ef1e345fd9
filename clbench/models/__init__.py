"""The model zoo; importing it registers every model in timm."""

from clbench.models.backbones.resnet import BACKBONES, Backbone, CifarResNet, build_backbone
from clbench.models.families import register_families
from clbench.models.interface import LoadedModel
from clbench.models.load import load_model
from clbench.models.register import register
from clbench.models.spec import ModelSpec, WeightsRow
from clbench.models.validate import validate_network
from clbench.models.weights import load_weights, read_weights, save_weights
from clbench.models.zoo import ZOO, find_spec

register()
register_families()

__all__ = [
    "BACKBONES",
    "ZOO",
    "Backbone",
    "CifarResNet",
    "LoadedModel",
    "ModelSpec",
    "WeightsRow",
    "build_backbone",
    "find_spec",
    "load_model",
    "load_weights",
    "read_weights",
    "register",
    "save_weights",
    "validate_network",
]
