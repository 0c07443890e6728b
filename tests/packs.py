"""The pack as ComfyUI imports it: under a name of its own, with the one library of the tests inside."""

from __future__ import annotations

import importlib
import sys
import types
from pathlib import Path

import resefa_core
import resefa_core.session

ROOT = Path(__file__).resolve().parents[1]


def modules_of_pack(name: str) -> dict[str, types.ModuleType]:
    """What `sys.modules` needs for a pack of this name. Every module of the library is there under the pack's
    name as well: one that is imported again would take its place in the library."""
    pack = types.ModuleType(name)
    pack.__path__ = [str(ROOT)]
    pack.resefa_core = resefa_core  # type: ignore[attr-defined]
    for module in ("files", "errors", "parsing", "directions.about", "latents.samples"):
        importlib.import_module(f"resefa_core.{module}")
    library = {
        f"{name}.{module}": loaded
        for module, loaded in sys.modules.items()
        if module == "resefa_core" or module.startswith("resefa_core.")
    }
    return {name: pack, **library}
