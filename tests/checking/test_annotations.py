"""Tests check annotations: a wrong argument, result or shape is an error in any of them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
import torch
from annotations import jaxtyped
from beartype import beartype
from jaxtyping import Float, Int, TypeCheckError
from torch import Tensor

from clbench.schema.threat_model import format_eps

check = jaxtyped(typechecker=beartype)
ROWS, COLUMNS = torch.zeros(2, 3), torch.zeros(3, 2)


@check
def first(x: Float[Tensor, "n d"], y: Float[Tensor, "n k"], /, *rest: int, name: str = "") -> int:
    return len(x)


@check
def doubled(x: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
    return x.T


@check
def places(x: Float[Tensor, "n d"], n: int) -> Float[Tensor, "{n} d"]:
    return x


@check
def each(x: Float[Tensor, "n d"]) -> Iterator[float]:
    yield from x[0].tolist()


@check
def later(x: "Float[Tensor, 'n d']", of: "Missing", right: bool = False) -> "int":  # noqa: F821
    return int(x.sum()) if right else x.sum().item()


@check
def outer(x: Float[Tensor, "n d"], inner: Callable[[Tensor], object]) -> Float[Tensor, "n d"]:
    inner(x.T)
    return x


@check
@dataclass(frozen=True)
class Pair:
    x: Float[Tensor, "n d"]
    y: Int[Tensor, " n"]

    @property
    @check
    def size(self) -> str:
        return len(self.x)

    @classmethod
    @check
    def of(cls, n: int) -> "Pair":
        return cls(torch.zeros(n, 1), torch.zeros(n, dtype=torch.int64))

    @staticmethod
    @check
    def sum(x: Float[Tensor, "n d"]) -> float:
        return x.sum().item()


WRONG = {
    "argument": lambda: first(ROWS, ROWS, name=1),
    "further argument": lambda: first(ROWS, ROWS, "a"),
    "no tensor": lambda: first(ROWS.numpy(), ROWS),
    "dtype": lambda: first(ROWS.int(), ROWS),
    "number of axes": lambda: first(ROWS, ROWS[0]),
    "shapes that differ": lambda: first(ROWS, COLUMNS),
    "shape of the result": lambda: doubled(ROWS),
    "shape that an argument says": lambda: places(ROWS, 3),
    "argument of a generator": lambda: each([1.0]),
    "argument by a text": lambda: later(1, None),
    "result by a text": lambda: later(ROWS, None),
    "field": lambda: Pair(ROWS, [1, 2]),
    "fields that differ": lambda: Pair(ROWS, torch.zeros(3, dtype=torch.int64)),
    "property": lambda: Pair.of(2).size,
    "class method": lambda: Pair.of("2"),
    "static method": lambda: Pair.sum(1),
    "function of clbench": lambda: format_eps("8/255"),
}

RIGHT = {
    "shapes that agree": lambda: first(ROWS, ROWS[:, :1], 1, 2, name="a"),
    "shape of a square": lambda: doubled(torch.zeros(2, 2)),
    "shape that an argument says": lambda: places(ROWS, 2),
    "generator": lambda: list(each(ROWS)),
    "type that is not imported": lambda: later(ROWS, None, right=True),
    "call within a call": lambda: outer(ROWS, lambda x: first(x, x)),
    "dataclass": lambda: Pair.of(3),
    "static method": lambda: Pair.of(3).sum(ROWS),
}


def error_of(call):
    try:
        call()
    except TypeCheckError as error:
        return error
    return None


@pytest.mark.parametrize("case", WRONG)
def test_what_contradicts_an_annotation_is_an_error(case):
    with pytest.raises(TypeCheckError):
        WRONG[case]()


@pytest.mark.parametrize("case", RIGHT)
def test_what_agrees_with_its_annotations_is_none(case):
    assert error_of(RIGHT[case]) is None
