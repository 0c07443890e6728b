"""ComfyUI's services as the nodes use them: model memory, progress, interrupts, and kept analyses."""

from __future__ import annotations

import contextlib
import logging
import os
import weakref
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import comfy.model_management
import comfy.model_patcher
import comfy.patcher_extension
import comfy.utils
import torch
from PIL import Image

from .core import Progress, memory, resefa

_PARTS = 1000
_CACHE_MB = 2048
_BATCH = 8
ANALYSIS_IMAGES = 6
"""About as many images as an analysis needs room for: the states of all layers beside a few tangents."""


def _cache_bytes() -> int:
    """What the analyses of all generators may take: `RESEFA_CACHE_MB` of the environment, in MiB."""
    given = os.environ.get("RESEFA_CACHE_MB", str(_CACHE_MB))
    if given.isascii() and given.isdigit() and len(given) < 10:
        return int(given) << 20
    logging.warning(
        "ReSeFa: RESEFA_CACHE_MB is %.40r: expected a number of MiB; %d is used", given, _CACHE_MB
    )
    return _CACHE_MB << 20


CACHE_BYTES = _cache_bytes()


class _Managed(torch.nn.Module):
    """What ComfyUI moves between devices; it writes attributes that a generator computes."""

    def __init__(self, generator: resefa.Generator, device: torch.device) -> None:
        super().__init__()
        self.generator = generator
        self.device = device


@dataclass(frozen=True, eq=False)
class LoadedGAN:
    """A generator under ComfyUI's memory management, and its analyses: ComfyUI frees both together.

    Attributes:
        parts: of the generator, whose names regions may have; those that come with it for None.
    """

    generator: resefa.Generator
    patcher: comfy.model_patcher.ModelPatcher
    analyses: resefa.JacobianCache = field(default_factory=lambda: resefa.JacobianCache(CACHE_BYTES))
    parts: resefa.Parts | None = None

    @staticmethod
    def of(generator: resefa.Generator) -> LoadedGAN:
        load = comfy.model_management.get_torch_device()
        offload = comfy.model_management.unet_offload_device()
        patcher = comfy.model_patcher.ModelPatcher(_Managed(generator.to(offload), offload), load, offload)
        gan = LoadedGAN(generator, patcher)
        _loaded.add(gan)
        analyses = gan.analyses

        def forget(_: object, unloaded: bool) -> None:
            if unloaded:
                analyses.clear()

        patcher.add_callback(comfy.patcher_extension.CallbacksMP.ON_DETACH, forget)
        return gan

    def with_parts(self, parts: resefa.Parts) -> LoadedGAN:
        """The same with other parts; generator and analyses are shared.

        Raises:
            JacobianError: the parts are of another generator.
        """
        gan = replace(self, parts=resefa.parts.PartFinder.known(self.generator, parts))
        _loaded.add(gan)
        return gan

    def session(self, latent: resefa.Latent) -> resefa.Session:
        """A session on an image, or a batch of them, with the generator on ComfyUI's device."""
        return resefa.Session(
            self.ready(ANALYSIS_IMAGES), latent=latent, cache=self.analyses, parts=self.parts
        )

    def ready(self, images: int = 1) -> resefa.Generator:
        """The generator on ComfyUI's device, with room there for that many images at once."""
        needed = 4 * self.generator.activation_floats() * images
        comfy.model_management.load_models_gpu([self.patcher], memory_required=needed, force_full_load=True)
        return self.generator.to(self.patcher.load_device)

    def keep_within_bound(self) -> None:
        """Drop other generators' analyses if all together take more than they may."""
        caches = {id(each.analyses): each.analyses for each in _loaded}
        if sum(cache.nbytes for cache in caches.values()) > CACHE_BYTES:
            for cache in caches.values():
                if cache is not self.analyses:
                    cache.clear()


_loaded: weakref.WeakSet[LoadedGAN] = weakref.WeakSet()


@contextlib.contextmanager
def computing() -> Iterator[None]:
    """Nodes run in inference mode, where derivatives get lost and tensors can't be reused outside. How
    torch's threads wait is up to ComfyUI; on a busy machine nodes compute with one."""
    with torch.inference_mode(False), torch.no_grad(), resefa.threads.considerate():
        yield


class ProgressBar:
    """A node's bar; each step of it is a moment at which the user's interrupt is heeded."""

    def __init__(self) -> None:
        self._bar = comfy.utils.ProgressBar(_PARTS)
        self._done = 0.0

    def part(self, start: float, stop: float, preview: Image.Image | None = None) -> Progress:
        """The callback of work that fills a part of the bar, in [0, 1]; the preview is shown on the node from
        now on."""
        heed_interrupt()
        self._show(start, preview)

        def report(done: int, total: int) -> None:
            heed_interrupt()
            self._show(start + (stop - start) * done / max(total, 1))

        return report

    def finish(self, preview: Image.Image) -> None:
        """Fill the bar. ComfyUI goes on showing the last preview, so it should be the result."""
        self._show(1.0, preview)

    def show(self, preview: Image.Image) -> None:
        """Show a picture on the node, with the bar as it is."""
        self._show(self._done, preview)

    def _show(self, done: float, preview: Image.Image | None = None) -> None:
        self._done = done
        shown = None if preview is None else ("JPEG", preview.convert("RGB"), None)
        self._bar.update_absolute(round(_PARTS * done), preview=shown)


def heed_interrupt() -> None:
    """Raise ComfyUI's exception if the user has asked to stop."""
    comfy.model_management.throw_exception_if_processing_interrupted()


def synthesize(gan: LoadedGAN, latent: resefa.Latent, report: Progress | None = None) -> torch.Tensor:
    """The images of a batch, `(B, 3, H, W)`, on the CPU; a few at a time, fewer where memory runs out."""
    generator = gan.ready()
    free = int(comfy.model_management.get_free_memory(gan.patcher.load_device))
    chunk = min(_BATCH, resefa.analysis.images_at_once(generator, free // 2))
    images: list[torch.Tensor] = []

    def draw(rows: slice) -> None:
        heed_interrupt()
        images.append(generator.synthesize(latent[rows]).cpu())

    memory.for_chunks(draw, len(latent), chunk, report)
    return torch.cat(images)


def as_output(images: torch.Tensor) -> torch.Tensor:
    """ComfyUI's images where and, if its version has a say in that, as it wants nodes to give them."""
    management = comfy.model_management
    dtype = management.intermediate_dtype() if hasattr(management, "intermediate_dtype") else images.dtype
    return images.to(management.intermediate_device(), dtype)
