"""Faces to choose from: the same few are shown to every visitor, so they are drawn once."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import resefa_core as resefa
from gradio_app import payloads

_KEPT = 512
_AT_ONCE = 4
_QUALITY = 90

InTurns = Callable[[Iterable[list[str]]], Iterator[list[str]]]


class Thumbnails:
    """Pictures of latents as text for browsers, the latest ones kept."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, str], str] = OrderedDict()
        self._lock = threading.Lock()

    def of(
        self, generator: resefa.Generator, latents: Sequence[resefa.Latent], in_turns: InTurns
    ) -> list[str]:
        """The pictures of latents that differ in codes alone, batches of one; those that are missing are
        drawn a few at once, `in_turns` with what else is drawn."""
        keys = [(generator.fingerprint, latent.digest) for latent in latents]
        with self._lock:
            known = {key: self._kept[key] for key in keys if key in self._kept}
        missing = [index for index, key in enumerate(keys) if key not in known]
        batches = [missing[at : at + _AT_ONCE] for at in range(0, len(missing), _AT_ONCE)]
        drawn = (self._draw(generator, [latents[index] for index in batch]) for batch in batches)
        for batch, pictures in zip(batches, in_turns(drawn), strict=True):
            known |= {keys[index]: picture for index, picture in zip(batch, pictures, strict=True)}
        with self._lock:
            for key in keys:
                self._kept[key] = known[key]
                self._kept.move_to_end(key)
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return [known[key] for key in keys]

    def _draw(self, generator: resefa.Generator, latents: list[resefa.Latent]) -> list[str]:
        images: Any = generator.synthesize(resefa.stack(latents))
        return [payloads.data_url(resefa.to_pil(image), _QUALITY) for image in images]
