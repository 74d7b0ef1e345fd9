"""Multinomial logistic regression, as one linear classifier on features as they are."""

import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import torch
from jaxtyping import Bool, Float, Float64, Int
from torch import Tensor, nn
from torch.nn import functional

from clbench.probes.similarity.gram import FEWEST, varies
from clbench.probes.similarity.scores import CONSTANT, NOT_FINITE, TOO_FEW

if TYPE_CHECKING:
    from sklearn.linear_model import LogisticRegression

PENALTIES = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5)
"""Weights of the penalty beside the mean loss of an example, strong ones first. At the layers of
trained networks the first is too strong, and the last too weak for all but the fewest features."""

MOST_STEPS = 1000
"""Steps that the solver may take for one penalty."""

ONE_CLASS = "all examples to fit on are of one class"
NO_VALIDATION = f"fewer than {FEWEST} validation examples of the classes to fit on"


class Rows(NamedTuple):
    """Features, one row per example, and the class of each; on the CPU."""

    x: Float[Tensor, "n d"]
    y: Int[Tensor, " n"]

    def where(self, wanted: Bool[Tensor, " n"]) -> "Rows":
        """Return some of the rows."""
        return Rows(self.x[wanted], self.y[wanted])


class LinearClassifier(NamedTuple):
    """A linear classifier in double precision, with a row for every class.

    A class that it was not fitted on has the bias -inf, so that it is never predicted.
    """

    weight: Float64[Tensor, "k d"]
    bias: Float64[Tensor, " k"]

    def __call__(self, x: Float[Tensor, "n d"]) -> Float64[Tensor, "n k"]:
        """Return the logits."""
        return x.double() @ self.weight.T + self.bias

    def module(self) -> nn.Linear:
        """Return the classifier as a module whose parameters want no gradients."""
        n_classes, n_features = self.weight.shape
        linear = nn.Linear(n_features, n_classes, dtype=torch.float64).requires_grad_(False)
        linear.weight.copy_(self.weight)
        linear.bias.copy_(self.bias)
        return linear


class Fit(NamedTuple):
    """What was fitted.

    ``penalty`` is the one that was chosen, ``validation_right`` how many of the validation
    examples the classifier is then right about, and ``converged`` whether the solver came to its
    end.
    """

    classifier: LinearClassifier
    penalty: float
    validation_right: int
    converged: bool


def why_unfit(train: Rows, validation: Rows) -> str:
    """Return why no classifier can be fitted on ``train`` and chosen on ``validation``, or ""."""
    if len(train.y) < FEWEST:
        return TOO_FEW
    if (train.y == train.y[0]).all():
        return ONE_CLASS
    if int(_known(validation, train).sum()) < FEWEST:
        return NO_VALIDATION
    if not (train.x.isfinite().all() and validation.x.isfinite().all()):
        return NOT_FINITE
    return "" if varies(train.x).any() else CONSTANT


def fit_logistic(train: Rows, validation: Rows) -> Fit:
    """Return the classifier whose penalty suits ``validation`` best.

    It is fitted on features that have mean 0 and variance 1 over ``train``, and then made to take
    features as they are; those that vary by no more than rounding get the weight 0. Of
    ``PENALTIES``, taken is the one of the lowest cross-entropy on the validation examples of known
    classes: with a few hundred of these, accuracies are too coarse to choose by.

    Both must be such that ``why_unfit`` has no reason.
    """
    known = validation.where(_known(validation, train))

    def loss(fit: Fit) -> float:
        return float(functional.cross_entropy(fit.classifier(known.x), known.y))

    best = min(_fits(train), key=loss)
    right = int((best.classifier(validation.x).argmax(dim=1) == validation.y).sum())
    return best._replace(validation_right=right)


def _fits(train: Rows) -> Iterator[Fit]:
    """Fit with one penalty after the other, each from where the stronger one ended."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    mean = train.x.mean(dim=0, dtype=torch.float64)
    centred = train.x - mean
    spread = centred.square().mean(dim=0).sqrt()
    inverse = spread.reciprocal().where(varies(train.x), 0)
    x, y = centred.mul_(inverse).numpy(), train.y.numpy()
    solver = LogisticRegression(warm_start=True, max_iter=MOST_STEPS)
    for penalty in PENALTIES:
        solver.set_params(C=1 / (penalty * len(y)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # the result says it
            solver.fit(x, y)
        classifier = _folded(_rows(solver), mean, inverse)
        yield Fit(classifier, penalty, 0, converged=int(solver.n_iter_.max()) < MOST_STEPS)


def _folded(
    classifier: LinearClassifier, mean: Float64[Tensor, " d"], inverse: Float64[Tensor, " d"]
) -> LinearClassifier:
    """Return the classifier of features before they lose ``mean`` and grow by ``inverse``."""
    weight = classifier.weight * inverse
    return LinearClassifier(weight, classifier.bias - weight @ mean)


def _rows(solver: "LogisticRegression") -> LinearClassifier:
    """Return what was fitted as a classifier with a row for every class up to the highest."""
    coefficients, intercepts = torch.tensor(solver.coef_), torch.tensor(solver.intercept_)
    if len(coefficients) == 1:  # of two classes, scikit-learn keeps the difference
        coefficients = torch.cat([-coefficients / 2, coefficients / 2])
        intercepts = torch.cat([-intercepts / 2, intercepts / 2])
    classes = torch.from_numpy(solver.classes_)
    n_classes = int(classes.max()) + 1
    weight = torch.zeros(n_classes, coefficients.shape[1], dtype=torch.float64)
    bias = torch.full((n_classes,), -torch.inf, dtype=torch.float64)
    weight[classes], bias[classes] = coefficients, intercepts
    return LinearClassifier(weight, bias)


def _known(validation: Rows, train: Rows) -> Bool[Tensor, " n"]:
    return torch.isin(validation.y, train.y)
