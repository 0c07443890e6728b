"""Editing: move latents along directions, everywhere or inside a region only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ..analysis import applied
from ..bounds import CONFINE, MIX, STRENGTH, number
from ..defaults import feather_for
from ..directions import Directions
from ..errors import LatentError
from ..generators.base import Generator
from ..memory import in_chunks
from ..precision import analysis_mode
from ..progress import Progress
from ..regions import Region
from ..solve import STEP_CHANGE
from ..spaces import Offsets, space_named
from .points import ConfinedMove, Latent, stack

Strengths = Mapping["int | str", float]

_MEASURED_AT_ONCE = 32


def move(
    latent: Latent,
    directions: Directions,
    strengths: Strengths,
    confine: float | None = None,
    feather: float = 0.0,
) -> Latent:
    """Move latents along one or several directions (Eq. 1).

    Args:
        latent: `(B, L, D)`; all are moved alike.
        directions: the set.
        strengths: how far along which direction, by index or name, in steps of that direction.
        confine: in [0, 1]: 0 moves the code everywhere, 1 inside the directions' region only; None as the
            directions were found: 1 if they are `confined`, else 0.
        feather: softens a confined edit's edge; a fraction of the image's height.

    Returns:
        A new latent; the given one is unchanged.

    Raises:
        LatentError: the directions do not fit the latent, or have no region or no confined steps.
        ParameterError: no such direction, or a number out of range.
    """
    confine, feather = confinement(directions, confine, feather)
    distances = _distances(directions, strengths, confine)
    total = torch.tensordot(distances, directions.vectors, dims=1)
    codes, styles, z = _offsets(latent, directions, total)
    if confine == 0.0:
        return replace(
            latent,
            codes=latent.codes if codes is None else latent.codes + codes.to(latent.codes),
            style_offset=_sum(latent.style_offset, styles),
            z_offset=_sum(latent.z_offset, z),
        )
    region = _confinable(directions).feather(feather)
    confined = ConfinedMove(region, float(confine), codes, styles, z)
    return replace(latent, confined=(*latent.confined, confined))


def confinement(directions: Directions, confine: float | None, feather: float | None) -> tuple[float, float]:
    """How far an edit is confined and how soft its edge is, where None stands for what nobody said: as the
    directions were found, whose region is as soft as their edits need where these are confined."""
    confine = float(directions.confined) if confine is None else confine
    if feather is None:
        feather = 0.0 if directions.confined else feather_for(confine)
    return confine, feather


def mix(
    generator: Generator,
    first: Latent,
    second: Latent,
    amount: float | Sequence[float] = 0.5,
    layers: Iterable[int] | None = None,
) -> Latent:
    """Blend two latents on some layers; the other layers stay the first one's (style mixing).

    Args:
        first, second: `(B, L, D)`; a batch of one goes with any other.
        amount: 0 keeps the first, 1 takes the second's codes; between and beyond, linearly. Several are one
            for each latent of the batch.
        layers: all for None.

    Returns:
        Codes that no noise leads to: it has no `z` and no seed. Confined edits are blended alike.

    Raises:
        LatentError: latents that do not fit the generator or each other.
        ParameterError: an amount is out of range.
    """
    amounts = amount if isinstance(amount, Sequence) else [amount]
    amounts = [number(each, "amount", *MIX) for each in amounts]
    parts = []
    for latent in (first, second):
        generator.check_latent(latent)
        parts.append(without_noise(generator, latent.to(generator.device, generator.dtype)))
    count = max(len(part) for part in parts)
    if any(len(part) not in (1, count) for part in parts):
        raise LatentError(f"{len(first)} and {len(second)} latents can't be mixed: expected as many, or one")
    if len(amounts) not in (1, count):
        raise LatentError(f"{len(amounts)} amounts for {count} latents: expected one for each, or one")
    one, other = (part.map_tensors(lambda t: t.expand(count, *t.shape[1:])) for part in parts)
    if (one.label is None) != (other.label is None) or (
        one.label is not None and other.label is not None and not torch.equal(one.label, other.label)
    ):
        raise LatentError("latents of different classes can't be mixed")
    chosen = generator.check_layers(layers)
    weight = one.codes.new_zeros(len(amounts), generator.num_layers, 1)
    weight[:, list(chosen)] = one.codes.new_tensor(amounts)[:, None, None]
    sizes = torch.tensor(generator.layer_sizes, device=weight.device)
    channels = weight[..., 0].repeat_interleave(sizes, dim=1)
    styles = None
    if one.style_offset is not None or other.style_offset is not None:
        blank = weight.new_zeros(count, sum(generator.layer_sizes))
        ours, theirs = (blank if part.style_offset is None else part.style_offset for part in (one, other))
        styles = ours + channels * (theirs - ours)
    return replace(
        one,
        made_by=None,
        crop=None,
        codes=one.codes + weight * (other.codes - one.codes),
        style_offset=styles,
        confined=(
            *_scaled(one.confined, 1.0 - weight, 1.0 - channels),
            *_scaled(other.confined, weight, channels),
        ),
    )


def _scaled(moves: Sequence[ConfinedMove], layers: Tensor, channels: Tensor) -> list[ConfinedMove]:
    """Confined moves times a factor for each layer `(1 or B, L, 1)`, and style channel `(1 or B, sum S)`."""
    scaled = [
        move._replace(
            codes=None if move.codes is None else move.codes * layers,
            styles=None if move.styles is None else move.styles * channels,
        )
        for move in moves
    ]
    return [move for move in scaled if any(bool(part.any()) for part in move.tensors().values())]


def without_noise(generator: Generator, latent: Latent) -> Latent:
    """The same images from codes alone: moves of the noise become moves of the codes."""
    confined = []
    for move in latent.confined:
        codes = move.codes
        if move.z is not None:
            moved = generator.noise_move(latent, latent.z_offset, move.z)
            codes = moved if codes is None else codes + moved
        confined.append(move._replace(codes=codes, z=None))
    codes = latent.codes + generator.noise_move(latent, None, latent.z_offset)
    return replace(latent, codes=codes, z=None, z_offset=None, seed=None, confined=tuple(confined))


def edit(
    generator: Generator,
    latent: Latent,
    directions: Directions,
    strengths: Strengths,
    confine: float | None = None,
    feather: float = 0.0,
) -> Tensor:
    """The edited images, `(B, 3, H, W)`: `synthesize(move(...))`.

    A confined edit whose steps are not in the direction set measures them first; see
    `with_confined_steps`.

    Raises:
        LatentError: the directions do not fit the generator; see `move`.
    """
    directions = prepared(generator, latent, directions, confine, feather)
    return generator.synthesize(move(latent, directions, strengths, confine, feather))


def prepared(
    generator: Generator,
    latent: Latent,
    directions: Directions,
    confine: float | None = None,
    feather: float = 0.0,
) -> Directions:
    """The directions, once they are known to fit the generator, with the steps that `move` needs to
    confine an edit: those of the set where the edge is sharp, as `factorize` and files have them; measured
    where they are missing, or the edge is feathered.

    Raises:
        LatentError: the directions do not fit the generator; see `with_confined_steps`.
    """
    directions.check(generator)
    confine, feather = confinement(directions, confine, feather)
    if confine and (directions.steps_confined is None or feather):
        return with_confined_steps(generator, latent, directions, feather)
    return directions


def sweep(
    generator: Generator,
    latent: Latent,
    directions: Directions,
    strengths: Sequence[float] = (-4.0, -2.0, 0.0, 2.0, 4.0),
    confine: float | None = None,
    feather: float = 0.0,
    progress: Progress | None = None,
) -> Tensor:
    """One strip of images per direction.

    Args:
        latent: a batch of one.
        strengths: the steps of a strip, in the order of the images.

    Returns:
        `(k, len(strengths), 3, H, W)` in about [-1, 1].
    """
    if len(latent) != 1:
        raise LatentError(f"{len(latent)} latents were given: sweep one at a time, latent[i]")
    directions = prepared(generator, latent, directions, confine, feather)
    strips = []
    for index in range(len(directions)):
        moved = [move(latent, directions, {index: strength}, confine, feather) for strength in strengths]
        strips.append(torch.stack(_drawn(generator, moved)))
        if progress is not None:
            progress(index + 1, len(directions))
    return torch.stack(strips)


def draw_all(generator: Generator, latents: Sequence[Latent]) -> list[Tensor]:
    """The images of latents that differ in codes alone, at once; of confined edits one by one."""
    if not latents:
        return []
    if any(latent.confined for latent in latents):
        return [generator.synthesize(latent)[0] for latent in latents]
    return list(generator.synthesize(stack(latents)))


def _drawn(generator: Generator, latents: Sequence[Latent]) -> list[Tensor]:
    """As `draw_all`, which a card is quicker with; on a CPU, which gains nothing, one by one: a picture has
    the same bits then, whatever stands beside it."""
    if generator.device.type != "cpu":
        return draw_all(generator, latents)
    return [generator.synthesize(latent)[0] for latent in latents]


def with_confined_steps(
    generator: Generator,
    latent: Latent,
    directions: Directions,
    feather: float = 0.0,
    progress: Progress | None = None,
) -> Directions:
    """The directions with the steps that fully confined edits need, from one forward-mode product each.

    A confined edit changes less, because the coarse layers' part of the change needs its surroundings
    to move too. Its step is the distance at which the change inside the region comes to 0.1 (root mean
    square, to first order), as for unconfined ones.

    Args:
        latent: where to measure; the first of a batch.
        feather: of the edits to come.
        progress: called with (directions done, directions).

    Raises:
        LatentError: the generator can't confine edits, or the directions have no region.
    """
    directions.check(generator)
    region = _confinable(directions)
    generator.check_can_confine()
    jacobian = applied(generator, latent[0], directions.space, directions.layers, region.feather(feather))
    mask = region.mask(jacobian.height, jacobian.width)
    with analysis_mode():
        vectors = directions.vectors.flatten(1).clone()
        energies = torch.empty(len(directions))

        def change(rows: slice) -> Tensor:
            squares = jacobian.jvp(vectors[rows]).square().sum(dim=1).cpu()
            return (squares * mask).sum(dim=(1, 2)) / (3.0 * mask.sum())

        in_chunks(change, energies, _MEASURED_AT_ONCE, progress)
    steps = STEP_CHANGE / energies.clamp_min(1e-30).sqrt()
    return replace(directions, steps_confined=steps.to(directions.steps.device))


def _distances(directions: Directions, strengths: Strengths, confine: float) -> Tensor:
    """How far to move along each direction, `(k,)`."""
    confine = number(confine, "confine", *CONFINE)
    steps = directions.steps
    if confine:
        if directions.steps_confined is None:
            raise LatentError(
                "these directions do not say how far a confined edit moves: "
                "use edit(...), or with_confined_steps(generator, latent, directions) first"
            )
        steps = 1.0 / ((1.0 - confine) / steps + confine / directions.steps_confined)
    distances = torch.zeros(len(directions), device=steps.device)
    for key, strength in strengths.items():
        index = directions.index(key)
        distances[index] += number(strength, "strength", *STRENGTH) * steps[index]
    return distances


def _confinable(directions: Directions) -> Region:
    if directions.region is None:
        raise LatentError("these directions have no region to confine an edit to: give them one")
    return directions.region


def _offsets(latent: Latent, directions: Directions, vector: Tensor) -> Offsets:
    """A vector of the directions' space as offsets of codes, style channels or noise, for the batch."""
    num_layers = latent.codes.shape[1]
    if max(directions.layers) >= num_layers:
        raise LatentError(
            f"the directions move layer {max(directions.layers)}; the latent has {num_layers} layers"
        )
    known = directions.generator.has_mapping
    has_mapping = latent.z is not None if known is None else known
    vector = vector.to(latent.codes)
    space = space_named(directions.space)
    return space.offsets(vector, latent, directions.layers, directions.layer_sizes, has_mapping)


def _sum(first: Tensor | None, second: Tensor | None) -> Tensor | None:
    if first is None or second is None:
        return second if first is None else first
    return first + second.to(first)
