"""BigGANs, DCGANs and PGGANs with random weights, what they draw by their definitions, and their files."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from resefa_core import DCGAN, PGGAN, BigGAN, BigGANDeep, Generator, Latent

DEEP_LAYERS = ((False, 4, 4), (True, 4, 2), (False, 2, 2), (True, 2, 1))


def _randomized(generator: Generator) -> Generator:
    """Statistics, gains and biases that are not those of a new layer."""
    noise = torch.Generator().manual_seed(1)
    for name, tensor in generator.state_dict().items():
        drawn = torch.rand(tensor.shape, generator=noise)
        if "var" in name:
            tensor.copy_(0.5 + drawn)
        elif name.endswith(("bias", "means", "mean")) and tensor.ndim < 3 and "bias.weight" not in name:
            tensor.copy_(0.4 * (drawn - 0.5))
        elif name.endswith(("embeddings.weight", "shared.weight")):
            tensor.copy_(2.0 * (drawn - 0.5))
    return generator.eval()


def tiny_deep() -> BigGANDeep:
    torch.manual_seed(0)
    generator = BigGANDeep(6, 5, 16, DEEP_LAYERS, attention_layer_position=2, n_stats=6)
    assert isinstance(_randomized(generator), BigGANDeep)
    return generator


def tiny_biggan(hierarchical: bool = True, shared_dim: int = 7) -> BigGAN:
    torch.manual_seed(0)
    generator = BigGAN(
        z_dim=12,
        num_classes=5,
        shared_dim=shared_dim,
        channels=(12, 16, 8),
        attention=(0,),
        hierarchical=hierarchical,
    )
    _randomized(generator)
    return generator


def tiny_dcgan(grey: bool = False) -> DCGAN:
    torch.manual_seed(0)
    generator = DCGAN(channels=(9, 16, 8, 1 if grey else 3))
    _randomized(generator)
    return generator


def tiny_pggan(fused: bool = False) -> PGGAN:
    torch.manual_seed(0)
    generator = PGGAN(z_dim=9, channels=(12, 12, 6), fused=fused)
    _randomized(generator)
    return generator


TINY: dict[str, Callable[[], Generator]] = {
    "biggan-deep": tiny_deep,
    "biggan": tiny_biggan,
    "biggan without chunks": lambda: tiny_biggan(hierarchical=False),
    "biggan without embedding": lambda: tiny_biggan(hierarchical=False, shared_dim=0),
    "dcgan": tiny_dcgan,
    "grey dcgan": lambda: tiny_dcgan(grey=True),
    "pggan": tiny_pggan,
    "fused pggan": lambda: tiny_pggan(fused=True),
}


def sampled(generator: Generator, seed: int = 3, truncation: float = 0.5) -> Latent:
    return generator.sample(seed, truncation, label=2 if generator.num_classes else None)


def _spread(x: Tensor) -> Tensor:
    return x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)


def _attend(x: Tensor, weights: dict[str, Tensor], name: str) -> Tensor:
    """Self-attention of one image, place by place."""
    theta, phi, g, o = (weights[f"{name}.{part}.weight"][:, :, 0, 0] for part in ("theta", "phi", "g", "o"))
    channels, height, width = x.shape[1:]
    pixels = x[0].reshape(channels, -1)
    keys, values = (
        (matrix @ pixels).reshape(-1, height // 2, 2, width // 2, 2).amax(dim=(2, 4)).flatten(1)
        for matrix in (phi, g)
    )
    mixed = torch.stack([values @ (keys.T @ query).softmax(dim=0) for query in (theta @ pixels).T], dim=1)
    return x + weights[f"{name}.gamma"] * (o @ mixed).reshape(1, channels, height, width)


def deep_image(generator: BigGANDeep, codes: Tensor, label: int, truncation: float) -> Tensor:
    """BigGAN-deep as published, of codes `(L, D)`, in float64; the truncation is between two statistics, or
    at one of them."""
    weights = {n.removeprefix("generator."): t.double() for n, t in generator.state_dict().items()}
    embedding = weights["embeddings.weight"][:, label]
    place = truncation * (generator.n_stats - 1)
    low = math.floor(place + 1e-9)
    beyond = place - low if place - low > 1e-6 else 0.0

    def statistics(name: str) -> Tensor:
        table = weights[name]
        return table[low] if beyond == 0.0 else beyond * table[low] + (1.0 - beyond) * table[low + 1]

    def norm(x: Tensor, name: str, code: Tensor | None) -> Tensor:
        x = (x - statistics(f"{name}.running_means")[:, None, None]) / (
            statistics(f"{name}.running_vars")[:, None, None] + 1e-4
        ).sqrt()
        if code is None:
            gain, offset = weights[f"{name}.weight"], weights[f"{name}.bias"]
        else:
            condition = torch.cat([code, embedding])
            gain = 1.0 + weights[f"{name}.scale.weight"] @ condition
            offset = weights[f"{name}.offset.weight"] @ condition
        return (x * gain[:, None, None] + offset[:, None, None]).relu()

    def conv(x: Tensor, name: str) -> Tensor:
        weight = weights[f"{name}.weight"]
        return F.conv2d(x, weight, weights[f"{name}.bias"], padding=weight.shape[2] // 2)

    first = weights["gen_z.weight"] @ torch.cat([codes[0], embedding]) + weights["gen_z.bias"]
    x = first.reshape(4, 4, -1).permute(2, 0, 1)[None]
    place_in_file = 0
    for index, (double, _, after) in enumerate(DEEP_LAYERS):
        if index == 2:
            x = _attend(x, weights, f"layers.{place_in_file}")
            place_in_file += 1
        name, code = f"layers.{place_in_file}", codes[index + 1]
        y = conv(norm(x, f"{name}.bn_0", code), f"{name}.conv_0")
        y = norm(y, f"{name}.bn_1", code)
        x = x[:, : after * 16]
        if double:
            x, y = _spread(x), _spread(y)
        y = conv(y, f"{name}.conv_1")
        y = conv(norm(y, f"{name}.bn_2", code), f"{name}.conv_2")
        x = x + conv(norm(y, f"{name}.bn_3", code), f"{name}.conv_3")
        place_in_file += 1
    return conv(norm(x, "bn", None), "conv_to_rgb").tanh()[0]


def biggan_image(generator: BigGAN, codes: Tensor, label: int) -> Tensor:
    """BigGAN as published, of codes `(L, D)`, in float64."""
    weights = {name: tensor.double() for name, tensor in generator.state_dict().items()}

    def norm(x: Tensor, name: str, chunk: Tensor | None) -> Tensor:
        gain, offset = weights[f"{name}.gain.weight"], weights[f"{name}.bias.weight"]
        if "shared.weight" in weights:
            condition = weights["shared.weight"][label]
            condition = condition if chunk is None else torch.cat([condition, chunk])
            gain, offset = gain @ condition, offset @ condition
        else:
            gain, offset = gain[label], offset[label]
        x = x - weights[f"{name}.stored_mean"][:, None, None]
        x = x / (weights[f"{name}.stored_var"] + 1e-5).sqrt()[:, None, None]
        return (x * (1.0 + gain)[:, None, None] + offset[:, None, None]).relu()

    def conv(x: Tensor, name: str) -> Tensor:
        weight = weights[f"{name}.weight"]
        return F.conv2d(x, weight, weights[f"{name}.bias"], padding=weight.shape[2] // 2)

    x = (weights["linear.weight"] @ codes[0] + weights["linear.bias"]).reshape(1, -1, 4, 4)
    for index in range(2):
        chunk = codes[index + 1] if generator.hierarchical else None
        name = f"blocks.{index}.0"
        y = conv(_spread(norm(x, f"{name}.bn1", chunk)), f"{name}.conv1")
        x = conv(norm(y, f"{name}.bn2", chunk), f"{name}.conv2") + conv(_spread(x), f"{name}.conv_sc")
        if index == 0:
            x = _attend(x, weights, "blocks.0.1")
    x = (x - weights["output_layer.0.stored_mean"][:, None, None]) / (
        weights["output_layer.0.stored_var"][:, None, None] + 1e-5
    ).sqrt()
    x = x * weights["output_layer.0.gain"][:, None, None] + weights["output_layer.0.bias"][:, None, None]
    return conv(x.relu(), "output_layer.2").tanh()[0]


def _unnormed(weight: Tensor, noise: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """A larger weight with the vectors that make PyTorch's spectral norm give this one."""
    matrix = weight.flatten(1)
    left = torch.randn(len(matrix), generator=noise)
    left /= left.norm()
    right = matrix.T @ left
    return 3.0 * weight, left, right / right.square().sum()


def save_deep(folder: Path, generator: BigGANDeep, **config: object) -> Path:
    """`config.json` and `pytorch_model.bin` as Hugging Face's project writes them."""
    noise = torch.Generator().manual_seed(2)
    found: dict[str, Tensor] = {}
    for name, tensor in generator.state_dict().items():
        for ours, theirs in (("theta", "theta"), ("phi", "phi"), ("g", "g"), ("o", "o_conv")):
            name = name.replace(f".{ours}.weight", f".snconv1x1_{theirs}.weight")
        if ".conv_to_rgb." in name:
            unused = (13, *tensor.shape[1:])
            tensor = torch.cat([tensor, torch.randn(unused, generator=noise)])
        plain = name in ("embeddings.weight", "generator.bn.weight")
        if not plain and name.endswith(".weight"):
            parts = _unnormed(tensor, noise)
            found |= {f"{name}_{end}": part for end, part in zip(("orig", "u", "v"), parts, strict=True)}
        else:
            found[name] = tensor
    folder.mkdir(exist_ok=True)
    said: dict[str, object] = {
        "output_dim": generator.resolution,
        "z_dim": generator.z_dim,
        "class_embed_dim": generator.z_dim,
        "channel_width": 16,
        "num_classes": generator.num_classes,
        "layers": DEEP_LAYERS,
        "attention_layer_position": 2,
        "eps": 1e-4,
        "n_stats": generator.n_stats,
    }
    (folder / "config.json").write_text(json.dumps({**said, **config}))
    torch.save(found, folder / "pytorch_model.bin")
    return folder


def save_biggan(file: Path, generator: BigGAN, standing: int = 0) -> Path:
    """The state dict as BigGAN-PyTorch saves it; with `mybn`'s sums of so many accumulations."""
    noise = torch.Generator().manual_seed(2)
    found: dict[str, Tensor] = {}
    for name, tensor in generator.state_dict().items():
        stem, _, part = name.rpartition(".")
        embedded = name == "shared.weight" or (
            "shared.weight" not in generator.state_dict() and ".bn" in name
        )
        if part == "weight" and not embedded:
            start = torch.randn(1, len(tensor), generator=noise)
            along = start @ tensor.flatten(1)
            norm = (tensor.flatten(1) @ (along / along.norm()).T).norm()
            found[name] = 2.0 * tensor
            tensor.div_(norm)
            found |= {f"{stem}.u0": start, f"{stem}.sv0": norm.reshape(1)}
        elif standing and part.startswith("stored_"):
            found[f"{stem}.bn.{part}"] = standing * tensor
            found[f"{stem}.bn.accumulation_counter"] = torch.tensor([float(standing)])
        else:
            found[name] = tensor.reshape(()) if part == "gamma" else tensor
    torch.save(found, file)
    return file


def save_dcgan(file: Path, generator: DCGAN) -> Path:
    """The state dict as PyTorch's tutorial saves it: one sequence of layers."""
    found: dict[str, Tensor] = {}
    for name, tensor in generator.state_dict().items():
        kind, index, part = name.split(".")
        found[f"main.{3 * int(index) + (kind == 'norms')}.{part}"] = tensor
    ordered = dict(sorted(found.items(), key=lambda item: int(item[0].split(".")[1])))
    ordered["main.1.num_batches_tracked"] = torch.tensor(7)
    torch.save(ordered, file)
    return file


def save_pggan(file: Path, generator: PGGAN, lod: float = 0.0) -> Path:
    """As genforce publishes it: with the colours of all resolutions."""
    found = {"lod": torch.tensor(lod)}
    for name, tensor in generator.state_dict().items():
        found[name.replace("output.", "output2.")] = tensor
    for index in range(2):
        width = generator.get_submodule(f"layer{2 * index + 1}").weight.shape[0]
        found |= {f"output{index}.weight": torch.ones(3, width, 1, 1), f"output{index}.bias": torch.ones(3)}
    torch.save({"generator_smooth": found}, file)
    return file


def save(folder: Path, generator: Generator) -> Path:
    """A generator in its original project's layout."""
    if isinstance(generator, BigGANDeep):
        return save_deep(folder / "deep", generator)
    if isinstance(generator, BigGAN):
        return save_biggan(folder / "G_ema.pth", generator)
    if isinstance(generator, DCGAN):
        return save_dcgan(folder / "netG.pth", generator)
    assert isinstance(generator, PGGAN)
    return save_pggan(folder / "pggan.pth", generator)
