"""Small generators with random weights, and float64 references."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from torch.func import jvp, vmap

from resefa_core import Directions, Generator, Latent, Region, StyleGAN2, StyleGAN3, encode_thumbnail
from resefa_core.generators.styles import Gate, Style


def tiny_stylegan2(resolution: int = 16, c_dim: int = 0, channels: int = 12, seed: int = 0) -> StyleGAN2:
    """A StyleGAN2 with random weights, noise and biases included."""
    torch.manual_seed(seed)
    generator = StyleGAN2(
        z_dim=10,
        c_dim=c_dim,
        w_dim=8,
        img_resolution=resolution,
        num_mapping_layers=2,
        channel_base=channels * resolution,
        channel_max=2 * channels,
    )
    with torch.no_grad():
        for name, tensor in generator.named_parameters():
            if name.endswith(("bias", "noise_strength")):
                tensor.add_(0.3 * torch.randn_like(tensor))
        generator.mapping.w_avg.copy_(0.5 * torch.randn(8))
    return generator.eval()


def tiny_stylegan3(
    radial: bool = False, c_dim: int = 0, resolution: int = 16, channels: int = 5, seed: int = 0, **more: Any
) -> StyleGAN3:
    """A StyleGAN3 of configuration T or R with random weights, biases, magnitudes and placement."""
    torch.manual_seed(seed)
    shape: dict[str, Any] = {"conv_kernel": 1, "use_radial_filters": True} if radial else {}
    shape |= {"num_layers": 4, "first_cutoff": 1.0, "first_stopband": 2.0, "margin_size": 4, **more}
    generator = StyleGAN3(
        z_dim=10,
        c_dim=c_dim,
        w_dim=8,
        img_resolution=resolution,
        channel_base=channels * resolution,
        channel_max=2 * channels,
        **shape,
    )
    with torch.no_grad():
        for name, tensor in generator.named_parameters():
            if name.endswith("bias"):
                tensor.add_(0.3 * torch.randn_like(tensor))
        generator.synthesis.input.affine.weight.copy_(0.2 * torch.randn(4, 8))
        for name, tensor in generator.named_buffers():
            if name.endswith("magnitude_ema"):
                tensor.copy_(0.5 + torch.rand([]))
        generator.mapping.w_avg.copy_(0.5 * torch.randn(8))
    return generator.eval()


def double(generator: Generator) -> Generator:
    return copy.deepcopy(generator).double()


def image_of_vector(  # type: ignore[no-untyped-def]
    generator: Generator,
    latent: Latent,
    space: str,
    layers: tuple[int, ...],
    confine_to: Region | None = None,
):
    """The image `(3, H, W)` as a plain function of a latent vector of a space, from its definition; the code
    moves inside a region only, if one is given."""
    condition = generator.condition(latent)

    def image(vector: Tensor) -> Tensor:
        codes = latent.codes
        offset = torch.zeros_like(codes)
        styles_offset: list[Tensor] = [torch.zeros(1, size).to(codes) for size in generator.layer_sizes]
        if space == "s":
            start = 0
            for layer in layers:
                size = generator.layer_sizes[layer]
                styles_offset[layer] = vector[None, start : start + size]
                start += size
        elif space == "z" and generator.has_mapping:
            assert latent.z is not None
            args = (latent.label, latent.truncation, latent.truncation_layers)
            there = generator.codes_of_noise(latent.z + vector, *args)
            keep = torch.zeros(generator.num_layers, 1).to(codes)
            keep[list(layers)] = 1.0
            offset = keep * (there - generator.codes_of_noise(latent.z, *args))
        else:
            parts = vector.reshape(-1, generator.latent_dim)
            rows = parts if space in ("w+", "z+") else parts.expand(len(layers), -1)
            index = torch.tensor(layers)
            offset = torch.zeros_like(codes).index_copy(1, index, rows[None])
        moved = [
            generator.style(i, (codes + offset)[:, i]) + styles_offset[i] for i in range(generator.num_layers)
        ]
        styles = [Style(each) for each in moved]
        if confine_to is not None:
            gate = Gate(confine_to, 1.0)
            before = [generator.style(i, codes[:, i]) for i in range(generator.num_layers)]
            styles = [Style(b, ((gate, m - b),)) for b, m in zip(before, moved, strict=True)]
        return generator.render(styles, condition)[0]

    return image


def reference_jacobian(
    generator: Generator,
    latent: Latent,
    space: str,
    layers: tuple[int, ...],
    dimension: int,
    confine_to: Region | None = None,
) -> Tensor:
    """`(d, 3, H, W)` in float64, by forward mode over everything, as `jacfwd` but some columns at a time."""
    precise = double(generator)
    point = latent.to("cpu", torch.float64)
    function = image_of_vector(precise, point, space, layers, confine_to)
    zero = torch.zeros(dimension, dtype=torch.float64)
    columns = vmap(lambda tangent: jvp(function, (zero,), (tangent,))[1])
    return torch.cat([columns(some) for some in torch.eye(dimension, dtype=torch.float64).split(16)])


def slope_along(generator: Generator, latent: Latent, codes: Tensor, step: float = 1e-6) -> Tensor:
    """The image's change `(B, 3, H, W)` with its codes' along `codes`, by central differences in float64: in
    float32 the rounding of an image, over a step, is as large as what the differences are to tell."""
    precise, point = double(generator), latent.to("cpu", torch.float64)
    ahead, behind = (
        precise.render(precise.styles(each), precise.condition(each))
        for each in (replace(point, codes=point.codes + sign * step * codes) for sign in (1.0, -1.0))
    )
    return (ahead - behind) / (2 * step)


def reference_pencil(
    jacobian: Tensor, region: Region, regularization: float
) -> tuple[np.ndarray, np.ndarray]:
    """A and B + aI of a Jacobian `(d, 3, H, W)`, in float64."""
    mask = region.mask(*jacobian.shape[2:]).double()
    inside = (jacobian * mask.sqrt()).flatten(1)
    outside = (jacobian * (1.0 - mask).sqrt()).flatten(1)
    a = (inside @ inside.T).numpy()
    b = (outside @ outside.T).numpy()
    return a, b + regularization * np.trace(b) * np.eye(len(b))


def weight_modulated_image(generator: StyleGAN2, codes: Tensor) -> Tensor:
    """StyleGAN2 as its paper states it: per-sample weights, zero insertion, a two-dimensional filter.

    Args:
        codes: `(L, D)` of one image.
    """
    weights = {name.removeprefix("synthesis."): tensor for name, tensor in generator.state_dict().items()}
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=codes.dtype)
    kernel = torch.outer(taps, taps) / taps.sum() ** 2

    def affine(name: str, code: Tensor) -> Tensor:
        weight = weights[f"{name}.affine.weight"]
        return weight @ code / weight.shape[1] ** 0.5 + weights[f"{name}.affine.bias"]

    def spread(x: Tensor) -> Tensor:
        up = x.new_zeros(*x.shape[:2], 2 * x.shape[2], 2 * x.shape[3])
        up[:, :, ::2, ::2] = x
        return up

    def smooth(x: Tensor, before: int, after: int) -> Tensor:
        x = F.pad(x, (before, after, before, after))
        planes = F.conv2d(x.transpose(0, 1), 4.0 * kernel[None, None])
        return planes.transpose(0, 1)

    def convolution(name: str, x: Tensor, code: Tensor, up: bool) -> Tensor:
        weight = weights[f"{name}.weight"] * affine(name, code)[None, :, None, None]
        weight = weight / (weight.square().sum(dim=(1, 2, 3), keepdim=True) + 1e-8).sqrt()
        if up:
            x = F.conv2d(F.pad(spread(x), (2, 2, 2, 2)), weight.flip(2, 3))[:, :, :-1, :-1]
            x = smooth(x, 1, 1)
        else:
            x = F.conv2d(x, weight, padding=1)
        x = x + weights[f"{name}.noise_const"] * weights[f"{name}.noise_strength"]
        return F.leaky_relu(x + weights[f"{name}.bias"][:, None, None], 0.2) * 2**0.5

    x = weights["b4.const"][None]
    image: Tensor | None = None
    layer = 0
    for resolution in generator.synthesis.resolutions:
        block = f"b{resolution}"
        if resolution > 4:
            x = convolution(f"{block}.conv0", x, codes[layer], up=True)
            layer += 1
        x = convolution(f"{block}.conv1", x, codes[layer], up=False)
        layer += 1
        weight = weights[f"{block}.torgb.weight"]
        weight = weight * affine(f"{block}.torgb", codes[layer])[None, :, None, None] / weight.shape[1] ** 0.5
        colour = F.conv2d(x, weight, weights[f"{block}.torgb.bias"])
        image = colour if image is None else smooth(spread(image), 2, 1) + colour
    assert image is not None
    return image[0]


def alias_free_image(generator: StyleGAN3, codes: Tensor) -> Tensor:
    """StyleGAN3 as its paper and its release state it: per-sample weights, normalised before they are
    modulated, and filters that join samples by their places.

    Args:
        codes: `(L, D)` of one image.
    """
    weights = {name.removeprefix("synthesis."): tensor for name, tensor in generator.state_dict().items()}

    def affine(name: str, code: Tensor) -> Tensor:
        weight = weights[f"{name}.affine.weight"]
        return weight @ code / weight.shape[1] ** 0.5 + weights[f"{name}.affine.bias"]

    def places(size: int, rate: int) -> Tensor:
        return (torch.arange(size, dtype=torch.float64) + 0.5 - size / 2) / rate

    def joined(taps: Tensor, finest: int, outputs: Tensor, inputs: Tensor) -> Tensor:
        """What each input sample adds to each output sample, `(outputs, inputs)`."""
        offset = (outputs[:, None] - inputs[None, :]) * finest + (len(taps) - 1) / 2
        index = offset.round().long()
        assert torch.allclose(offset, index.double(), atol=1e-6)
        inside = (index >= 0) & (index < len(taps))
        return taps[index.clamp(0, len(taps) - 1)].double() * inside

    code = affine("input", codes[0])
    cosine, sine, right, down = code / code[:2].norm()
    zero, one = torch.zeros_like(cosine), torch.ones_like(cosine)
    turn = torch.stack([cosine, -sine, zero, sine, cosine, zero, zero, zero, one]).reshape(3, 3)
    shift = torch.stack([one, zero, -right, zero, one, -down, zero, zero, one]).reshape(3, 3)
    whole = turn @ shift @ weights["input.transform"]
    grid = generator.synthesis.input.grid
    axis = places(grid.size, grid.rate)
    points = torch.stack([axis.expand(grid.size, -1), axis[:, None].expand(-1, grid.size)], dim=-1)
    freqs = weights["input.freqs"] @ whole[:2, :2]
    phases = weights["input.phases"] + weights["input.freqs"] @ whole[:2, 2]
    fade = 1 - (freqs.norm(dim=1) - grid.cutoff) / (grid.rate / 2 - grid.cutoff)
    waves = (2 * torch.pi * (points @ freqs.T + phases)).sin() * fade.clamp(0, 1)
    x = (waves @ weights["input.weight"].T / grid.channels**0.5).movedim(-1, 0)

    for index, name in enumerate(generator.synthesis.layer_names):
        layer = generator.synthesis.layer(index)
        weight, style = weights[f"{name}.weight"], affine(name, codes[index + 1])
        last = index == len(generator.synthesis.layer_names) - 1
        if last:
            weight = weight * style[:, None, None] / weight.shape[1] ** 0.5
        else:
            weight = weight / weight.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
            weight = weight * (style / style.square().mean().sqrt())[:, None, None]
            weight = weight / (weight.square().sum(dim=(1, 2, 3), keepdim=True) + 1e-8).sqrt()
        weight = weight / weights[f"{name}.magnitude_ema"].sqrt()
        x = F.conv2d(x[None], weight, weights[f"{name}.bias"], padding=weight.shape[2] - 1)[0]
        if last:
            return x.clamp(-layer.clamp, layer.clamp) * generator.output_scale
        finest = 2 * max(layer.source.rate, layer.target.rate)
        down_taps = weights[f"{name}.down_filter"]
        side = (layer.target.size - 1) * (finest // layer.target.rate) + down_taps.shape[0]
        inner, outer = places(side, finest), places(layer.target.size, layer.target.rate)
        up = joined(weights[f"{name}.up_filter"], finest, inner, places(x.shape[1], layer.source.rate))
        up = up * (finest / layer.source.rate)
        x = (F.leaky_relu(up @ x @ up.T, 0.2) * 2**0.5).clamp(-layer.clamp, layer.clamp)
        if down_taps.ndim == 1:
            fir = joined(down_taps, finest, outer, inner)
            x = fir @ x @ fir.T
        else:
            step = finest // layer.target.rate
            windows = x.unfold(1, len(down_taps), step).unfold(2, len(down_taps), step)
            x = (windows * down_taps).sum(dim=(-2, -1))
    raise AssertionError


def two_directions(region: Region) -> Directions:
    """A set in which every part of a direction file is used, for a generator of three layers and codes of one
    number."""
    ones = torch.ones(2)
    return Directions(
        vectors=torch.eye(2)[:, :, None],
        eigenvalues=ones,
        inside=ones,
        outside=ones,
        steps=ones,
        steps_confined=ones,
        space="w+",
        layers=(0, 2),
        names=("smile", "frown"),
        region=region,
        generator={"architecture": "stylegan2", "resolution": 8, "fingerprint": "ab", "name": "tiny"},
        seeds=(1,),
        base_codes=torch.ones(3, 1),
        title="Mouths",
        tags=("face",),
        thumbnail=encode_thumbnail(Image.new("RGB", (4, 4))),
    )
