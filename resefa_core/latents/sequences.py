"""Sequences: walks between latents and edits over frames, each as one batch, and what batches are made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ..bounds import STRENGTH, number, whole
from ..directions import Directions
from ..errors import LatentError, ParameterError
from ..generators.base import Generator
from .editing import mix, move, without_noise
from .points import ConfinedMove, Latent, stack

MOST_FRAMES = 4096
_PARALLEL = 1e-4


def walk(
    generator: Generator,
    keys: Latent,
    frames: int,
    layers: Iterable[int] | None = None,
    spherical: bool = False,
    loop: bool = False,
) -> Latent:
    """A walk from each latent of a batch to the next.

    Args:
        keys: `(B, L, D)`, two or more.
        frames: how many latents, evenly spaced along the walk.
        layers: those that change; the others stay the first latent's. All for None.
        spherical: move the noise along great circles, where samples keep the length that they are drawn with,
            and edits linearly; otherwise the codes move along straight lines.
        loop: go back to the first latent. The last frame is one before it, so that the frames repeat without
            a jump.

    Returns:
        `(frames, L, D)`, without noise and seeds; see `mix`.

    Raises:
        LatentError: fewer than two latents, or for a spherical walk some without noise of their own.
        ParameterError: the number of frames is out of range.
    """
    frames = whole(frames, "frames", 2, MOST_FRAMES)
    if len(keys) < 2:
        raise LatentError(f"a walk leads from one latent to the next: expected two or more, got {len(keys)}")
    generator.check_latent(keys)
    keys = keys.to(generator.device, generator.dtype)
    stops = len(keys) if loop else len(keys) - 1
    places = torch.arange(frames, dtype=torch.float64) * stops / (frames if loop else frames - 1)
    starts = places.floor().clamp(max=stops - 1)
    amounts = (places - starts).tolist()
    first = [int(start) for start in starts]
    second = [(start + 1) % len(keys) for start in first]
    walked = mix(generator, pick(keys, first), pick(keys, second), amounts)
    if spherical:
        walked = replace(walked, codes=walked.codes + _bulge(generator, keys, first, second, amounts))
    chosen = generator.check_layers(layers)
    if len(chosen) == generator.num_layers:
        return walked
    return mix(generator, keys[:1], walked, 1.0, chosen)


def _bulge(
    generator: Generator, keys: Latent, first: list[int], second: list[int], amounts: list[float]
) -> Tensor:
    """What a spherical walk adds to the codes of a linear one, `(F, L, D)`."""
    weights = keys.codes.new_tensor(amounts)
    if not generator.has_mapping:
        start, stop = keys.codes[first], keys.codes[second]
        weights = weights[:, None, None]
        return slerp(start, stop, weights) - torch.lerp(start, stop, weights)
    if keys.z is None:
        raise LatentError(
            "the latents do not have the noise (z) that a spherical walk moves: they were mixed, averaged, "
            "or come from a projector; walk linearly"
        )
    label = keys.label[first] if keys.label is not None else None

    def codes(z: Tensor) -> Tensor:
        return generator.codes_of_noise(z, label, keys.truncation, keys.truncation_layers)

    with torch.no_grad():
        straight = torch.lerp(codes(keys.z[first]), codes(keys.z[second]), weights[:, None, None])
        return codes(slerp(keys.z[first], keys.z[second], weights[:, None])) - straight


def slerp(start: Tensor, stop: Tensor, amounts: Tensor) -> Tensor:
    """Spherical interpolation of vectors `(..., D)`: their directions along a great circle, their lengths
    linearly; along a line where they are all but parallel or opposite.

    Example:
        >>> slerp(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 3.0]), torch.tensor(0.5))
        tensor([1.4142, 1.4142])
    """
    lengths = [vector.norm(dim=-1, keepdim=True).clamp_min(1e-30) for vector in (start, stop)]
    ends = [vector / length for vector, length in zip((start, stop), lengths, strict=True)]
    angle = (ends[0] * ends[1]).sum(dim=-1, keepdim=True).clamp(-1.0, 1.0).acos()
    sine = angle.sin()
    along = (((1.0 - amounts) * angle).sin() * ends[0] + (amounts * angle).sin() * ends[1]) / sine.clamp_min(
        1e-30
    )
    curved = along * torch.lerp(lengths[0], lengths[1], amounts.to(start))
    return torch.where(sine < _PARALLEL, torch.lerp(start, stop, amounts.to(start).expand_as(start)), curved)


def move_each(
    latent: Latent,
    directions: Directions,
    strengths: Mapping[int | str, Sequence[float]],
    confine: float | None = None,
    feather: float = 0.0,
) -> Latent:
    """Move each latent of a batch by strengths of its own, as over the frames of an edit.

    Args:
        latent: `(B, L, D)`, or one that is taken as often as there are strengths.
        directions: the set.
        strengths: for each direction, by index or name, one strength for each latent, in steps.
        confine, feather: see `move`.

    Raises:
        LatentError, ParameterError: see `move`; or the numbers of strengths and latents differ.
    """
    counts = {len(amounts) for amounts in strengths.values()}
    if not counts:
        return latent
    count = max(counts)
    if len(counts) > 1 or count < 1:
        raise ParameterError(f"directions with {sorted(counts)} strengths: expected as many for each")
    if len(latent) not in (1, count):
        raise LatentError(f"{count} strengths for {len(latent)} latents: expected one for each")
    start = pick(latent, [0] * count) if len(latent) == 1 else latent
    moved = replace(start, made_by=None)
    confined: ConfinedMove | None = None
    for key, amounts in strengths.items():
        scale = start.codes.new_tensor([number(value, "strength", *STRENGTH) for value in amounts])
        step = move(start, directions, {key: 1.0}, confine, feather)
        if len(step.confined) > len(start.confined):
            scaled = _scaled(step.confined[-1], scale)
            confined = scaled if confined is None else _added(confined, scaled)
        moved = replace(
            moved,
            codes=moved.codes + _per_image(scale, step.codes) * (step.codes - start.codes),
            style_offset=_moved(moved.style_offset, step.style_offset, start.style_offset, scale),
            z_offset=_moved(moved.z_offset, step.z_offset, start.z_offset, scale),
        )
    return moved if confined is None else replace(moved, confined=(*start.confined, confined))


def _per_image(scale: Tensor, tensor: Tensor) -> Tensor:
    return scale.reshape(-1, *(1 for _ in tensor.shape[1:])).to(tensor)


def _moved(moved: Tensor | None, step: Tensor | None, start: Tensor | None, scale: Tensor) -> Tensor | None:
    if step is None:
        return moved
    change = _per_image(scale, step) * (step if start is None else step - start)
    return change if moved is None else moved + change


def _scaled(move: ConfinedMove, scale: Tensor) -> ConfinedMove:
    return move.map_tensors(lambda tensor: tensor * _per_image(scale, tensor))


def _added(first: ConfinedMove, second: ConfinedMove) -> ConfinedMove:
    theirs = iter(second.tensors().values())
    return first.map_tensors(lambda tensor: tensor + next(theirs))


def pick(latent: Latent, places: Sequence[int]) -> Latent:
    """Latents of a batch by their places, counted from 0; the same one may be taken several times.

    Raises:
        LatentError: no places, or one that is out of range.
    """
    if not places:
        raise LatentError("no latents were chosen: expected places such as 0, 2-3")
    for place in places:
        if not 0 <= place < len(latent):
            raise LatentError(f"latent {place} is out of range: the batch has {len(latent)}, counted from 0")
    chosen = list(places)
    return latent.map_tensors(
        lambda tensor: tensor[chosen],
        seed=None if latent.seed is None else tuple(latent.seed[place] for place in chosen),
        made_by=None,
    )


def split(latent: Latent, at: int) -> tuple[Latent, Latent]:
    """A batch as two: the first `at` latents, and the others.

    Raises:
        LatentError: one of them would be empty.
    """
    if not 0 < at < len(latent):
        raise LatentError(f"a batch of {len(latent)} can't be split at {at}: expected 1 to {len(latent) - 1}")
    return latent[:at], latent[at:]


def join(generator: Generator, latents: Sequence[Latent]) -> Latent:
    """Several latents as one batch. Those that differ in how they came about become codes alone, without
    noise and seeds, of the same images.

    Raises:
        LatentError: nothing to join, or latents of different generators or sizes, or with confined edits.
    """
    try:
        return stack(latents)
    except LatentError:
        if not latents:
            raise
    plain = []
    for latent in latents:
        generator.check_latent(latent)
        codes = without_noise(generator, latent.to(generator.device, generator.dtype))
        blank = codes.codes.new_zeros(len(codes), sum(generator.layer_sizes))
        styles = blank if codes.style_offset is None else codes.style_offset
        plain.append(
            replace(
                codes,
                style_offset=styles,
                truncation=1.0,
                truncation_layers=None,
                generator=generator.fingerprint,
            )
        )
    joined = stack(plain)
    unmoved = joined.style_offset is not None and not bool(joined.style_offset.any())
    return replace(joined, style_offset=None) if unmoved else joined


def average(generator: Generator, latent: Latent) -> Latent:
    """The mean of a batch, `(1, L, D)`: of codes, and of what edits add to them.

    Raises:
        LatentError: the latents do not fit the generator, or are of different classes.
    """
    generator.check_latent(latent)
    if latent.label is not None and bool((latent.label != latent.label[0]).any()):
        raise LatentError("latents of different classes can't be averaged")
    plain = without_noise(generator, latent.to(generator.device, generator.dtype))
    mean = plain.map_tensors(lambda t: t.mean(dim=0, keepdim=True) if t.is_floating_point() else t[:1])
    return replace(mean, made_by=None)
