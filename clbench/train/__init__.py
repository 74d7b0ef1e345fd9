"""Training of the zoo, from recipes."""

from clbench.train.loop import Trained, train, train_recipe
from clbench.train.phases import Epoch
from clbench.train.recipe import Phase, Recipe
from clbench.train.recipe_file import read_recipe
from clbench.train.run_folder import Summary, read_summary

__all__ = [
    "Epoch",
    "Phase",
    "Recipe",
    "Summary",
    "Trained",
    "read_recipe",
    "read_summary",
    "train",
    "train_recipe",
]
