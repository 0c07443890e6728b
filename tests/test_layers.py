"""The core's modules import what lies below them, as docs/design.md draws it."""

from __future__ import annotations

import ast
from pathlib import Path

CORE = Path(__file__).parents[1] / "resefa_core"
LAYERS = (
    "_version bounds defaults errors memo memory optional parsing plain precision progress threads",
    "files kinds workers",
    "regions",
    "latents",
    "generators",
    "checkpoints latents.samples spaces",
    "analysis",
    "directions",
    "solve",
    "latents.editing latents.edits latents.opening latents.reach latents.sequences parts sheets",
    "methods directions.about inversion",
    "evaluation",
    "session",
    "atlas",
    "hub",
    "cli",
)
"""The lowest first. A module belongs to the longest name that it begins with."""
RANKS = {name: rank for rank, names in enumerate(LAYERS) for name in names.split()}


def rank(module: str) -> int:
    parts = module.split(".")
    known = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
    found = [RANKS[name] for name in known if name in RANKS]
    assert found, f"{module} is in no layer"
    return found[0]


def imported(file: Path) -> set[str]:
    """The modules of the core that a module imports when it is itself imported."""
    package = file.relative_to(CORE).parent.parts
    found: set[str] = set()
    for line in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(line, ast.ImportFrom) and line.level:
            base = package[: len(package) - line.level + 1]
            start = ".".join([*base, *([line.module] if line.module else [])])
            names = [f"{start}.{each.name}".lstrip(".") for each in line.names]
            found |= {name if _is_module(name) else start for name in names}
    return found - {""}


def _is_module(name: str) -> bool:
    path = CORE.joinpath(*name.split("."))
    return path.with_suffix(".py").is_file() or path.is_dir()


def test_imports_point_down() -> None:
    upward = []
    for file in sorted(CORE.rglob("*.py")):
        module = ".".join(file.relative_to(CORE).with_suffix("").parts)
        if module in ("__init__", "__main__") or module.endswith(".__init__"):
            continue
        upward += [
            f"{module} imports {name}"
            for name in imported(file)
            if rank(name) > rank(module) and not module.startswith(f"{name}.")
        ]
    assert upward == []
