"""Read the source tree: its modules, classes and functions."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("sagas", "integrations", "sagaproject")
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Name:
    """The name of a package, module, class or function, and the place of its definition."""

    kind: str
    name: str
    path: Path
    line: int = 1

    @property
    def place(self) -> str:
        return f"{self.path.relative_to(ROOT)}:{self.line}"


def modules(*packages: str) -> list[Path]:
    """Return the Python files in these packages, without migrations."""
    found = (path for package in packages for path in (ROOT / package).rglob("*.py"))
    return sorted(path for path in found if "migrations" not in path.parts)


def functions(*packages: str) -> Iterator[tuple[Path, Function]]:
    """Yield each function and method with its file, including nested functions."""
    for path in modules(*packages):
        for node in ast.walk(_tree(path)):
            if isinstance(node, Function):
                yield path, node


def names(*packages: str) -> Iterator[Name]:
    """Yield the name of each package, module, class and function."""
    folders = {path.parent for path in modules(*packages)}
    for folder in sorted(folders):
        yield Name("package", folder.name, folder)
    for path in modules(*packages):
        yield Name("module", path.stem, path)
        for node in ast.walk(_tree(path)):
            if isinstance(node, ast.ClassDef):
                yield Name("class", node.name, path, node.lineno)
            elif isinstance(node, Function):
                yield Name("function", node.name, path, node.lineno)


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())
