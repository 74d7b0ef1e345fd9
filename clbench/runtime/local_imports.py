"""Which files of a folder a Python file imports, found without running any of them."""

import ast
from collections.abc import Iterator
from pathlib import Path


def local_imports(file: Path, folder: Path) -> list[Path]:
    """Return a file and all files below a folder that it imports, or that these import.

    Imports count wherever they stand, inside functions too. What is imported by a name that is
    only made while the code runs is not found.

    Args:
        file: The first one.
        folder: Where modules are looked for, as Python would with the folder in its path.
    """
    found: list[Path] = []
    left = [file]
    while left:
        one = left.pop()
        if one not in found:
            found.append(one)
            left += _imported(one, folder)
    return found


def _imported(file: Path, folder: Path) -> Iterator[Path]:
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError):  # Python itself says so where it is really imported
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for one in node.names:
                yield from _files_of(folder, one.name)
        elif isinstance(node, ast.ImportFrom):
            above = file.parents[: node.level]
            if len(above) < node.level:  # more dots than folders
                continue
            start = above[-1] if above else folder
            for one in node.names:
                yield from _files_of(start, ".".join(filter(None, (node.module, one.name))))


def _files_of(start: Path, module: str) -> Iterator[Path]:
    """Yield the files of a module and of the packages around it, seen from a folder."""
    place = start
    for part in module.split("."):
        place = place / part
        candidates = (place / "__init__.py", place.with_name(f"{part}.py"))
        yield from (one for one in candidates if one.is_file())
