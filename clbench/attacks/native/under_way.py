"""What a pool has under way, as tensors that a file can hold."""

from collections.abc import Container, Mapping
from dataclasses import dataclass, fields

import torch
from jaxtyping import Float
from torch import Tensor

from clbench.attacks.native.items import Items

_POINTS = "points"


@dataclass(frozen=True)
class Parked:
    """The attempts of an example that wait for the plain network's word about ``points``.

    ``is_done`` says that this was their last step.
    """

    example: int
    items: Items
    points: Float[Tensor, "m c h w"]
    is_done: bool


@dataclass(frozen=True)
class UnderWay:
    """Examples between two steps: those that will go on, and those that wait for a word."""

    going: tuple[tuple[int, Items], ...]
    parked: tuple[Parked, ...]

    @property
    def examples(self) -> set[int]:
        """Which examples these are."""
        return {example for example, _ in self.going} | {one.example for one in self.parked}

    def only(self, examples: Container[int]) -> "UnderWay":
        """Return it without all other examples."""
        going = tuple(one for one in self.going if one[0] in examples)
        return UnderWay(going, tuple(one for one in self.parked if one.example in examples))

    def tensors(self) -> dict[str, Tensor]:
        """Return all of it by name, on the CPU; nothing where nothing is under way.

        Items lie one after the other; ``example``, ``n_points`` and ``is_done`` have a row for each
        example, of which ``n_items`` are its items. Without points an example goes on.
        """
        if not (self.going or self.parked):
            return {}
        everything = [*self.going, *((one.example, one.items) for one in self.parked)]
        quiet = [0] * len(self.going)
        items = type(everything[0][1]).join([items for _, items in everything])
        points = [one.points for one in self.parked]
        found = {f"item_{name}": tensor for name, tensor in items.tensors().items()}
        found |= {
            "example": torch.tensor([example for example, _ in everything]),
            "n_items": torch.tensor([len(items) for _, items in everything]),
            "n_points": torch.tensor(quiet + [len(one) for one in points]),
            "is_done": torch.tensor(quiet + [one.is_done for one in self.parked], dtype=torch.bool),
            _POINTS: torch.cat(points) if points else items.clean[:0],
        }
        return {name: tensor.cpu() for name, tensor in found.items()}

    @classmethod
    def of_tensors(
        cls, saved: Mapping[str, Tensor], kind: type[Items], device: torch.device
    ) -> "UnderWay":
        """Return what ``tensors`` returned."""
        if not saved:
            return cls((), ())
        items = kind(**{one.name: saved[f"item_{one.name}"].to(device) for one in fields(kind)})
        n_items, n_points = saved["n_items"].tolist(), saved["n_points"].tolist()
        rows = torch.split(torch.arange(len(items), device=device), n_items)
        points = torch.split(saved[_POINTS].to(device), n_points)
        examples = zip(
            saved["example"].tolist(), rows, points, saved["is_done"].tolist(), strict=True
        )
        going, parked = [], []
        for example, where, its_points, is_done in examples:
            if len(its_points):
                parked.append(Parked(example, items.take(where), its_points, is_done))
            else:
                going.append((example, items.take(where)))
        return cls(tuple(going), tuple(parked))
