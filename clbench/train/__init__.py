"""Training of the zoo, from recipes."""

from clbench.train.loop import Trained, train, train_recipe
from clbench.train.phases import Epoch
from clbench.train.recipe import Phase, Recipe
from clbench.train.recipe_file import DEFAULT, model_names, read_recipe, recipe_names
from clbench.train.run_folder import Summary, read_summary
from clbench.train.tensorboard import tensorboard_writer
from clbench.train.training import Watch

__all__ = [
    "DEFAULT",
    "Epoch",
    "Phase",
    "Recipe",
    "Summary",
    "Trained",
    "Watch",
    "model_names",
    "read_recipe",
    "read_summary",
    "recipe_names",
    "tensorboard_writer",
    "train",
    "train_recipe",
]
