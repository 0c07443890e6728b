"""The library, where ComfyUI finds it: beside this folder, whatever the pack's folder is called."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import resefa_core as resefa
    from resefa_core import bounds, kinds, memory, parsing
    from resefa_core.atlas import Atlas
    from resefa_core.checkpoints.downloads import entry_of
    from resefa_core.directions import about
    from resefa_core.directions.bundled import bundled_file, bundled_sets
    from resefa_core.directions.strengths import index_of, read_keyframes, read_strengths
    from resefa_core.inversion import inverting, pasting
    from resefa_core.latents import codes, samples, sequences
    from resefa_core.optional import the_hub
    from resefa_core.progress import Progress
else:
    from .. import resefa_core as resefa
    from ..resefa_core import bounds, kinds, memory, parsing
    from ..resefa_core.atlas import Atlas
    from ..resefa_core.checkpoints.downloads import entry_of
    from ..resefa_core.directions import about
    from ..resefa_core.directions.bundled import bundled_file, bundled_sets
    from ..resefa_core.directions.strengths import index_of, read_keyframes, read_strengths
    from ..resefa_core.inversion import inverting, pasting
    from ..resefa_core.latents import codes, samples, sequences
    from ..resefa_core.optional import the_hub
    from ..resefa_core.progress import Progress

__all__ = [
    "Atlas",
    "Progress",
    "about",
    "bounds",
    "bundled_file",
    "bundled_sets",
    "codes",
    "entry_of",
    "index_of",
    "inverting",
    "kinds",
    "memory",
    "parsing",
    "pasting",
    "read_keyframes",
    "read_strengths",
    "resefa",
    "samples",
    "sequences",
    "the_hub",
]
