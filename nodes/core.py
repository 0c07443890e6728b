"""The library, where ComfyUI finds it: beside this folder, whatever the pack's folder is called."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import resefa_core as resefa
else:
    from .. import resefa_core as resefa

__all__ = ["resefa"]
