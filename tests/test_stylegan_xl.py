"""StyleGAN-XL on StyleGAN3's layers: what it draws, and the pickles of its project."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import checkpoint_files
import pytest
import safetensors.torch
import torch
import torch.nn.functional as F
import whole_path
from models import alias_free_image, double
from torch import Tensor

import resefa_core as resefa
from resefa_core import CheckpointError
from resefa_core.generators.stylegan3_grids import Grid
from resefa_core.generators.stylegan_xl import StyleGANXL

STEM = [[4, 8, 1.0, 1.0, 6], [8, 12, 2.0, 2.0, 5]]
HEAD = [[8, 12, 2.0, 2.0, 5], [16, 20, 4.0, 4.0, 4], [16, 16, 8.0, 2.0, 4], [16, 16, 8.0, 2.0, 4]]
FILE_INDICES = (0, 1, 3, 4, 5, 6, 7)
"""The numbers of the layers in a file: the first stage of growth leaves a gap."""


def tiny(classes: int = 3, radial: bool = False, placed: bool = True) -> StyleGANXL:
    """One that grew once, with random weights, magnitudes, mean codes and, if asked, placement."""
    torch.manual_seed(0)
    grids = [*STEM, *HEAD, [16, 16, 8.0, 2.0, 3]]
    kernel = 1 if radial else 3
    source = StyleGANXL(
        5, classes, 8, grids, 2, 7, output_scale=0.5, conv_kernel=kernel, use_radial_filters=radial
    )
    for name, tensor in source.state_dict().items():
        if name.endswith(("bias", "w_avg")):
            tensor.add_(0.3 * torch.randn_like(tensor))
        elif name.endswith("magnitude_ema"):
            tensor.copy_(0.5 + torch.rand([]))
    source.synthesis.input.affine.weight.copy_((0.2 if placed else 0.0) * torch.randn(4, 8))
    return source.eval()


def modules(network: Any) -> dict[str, dict[str, Any]]:
    """The states of the modules in a pickled network, by path."""
    found = {}
    waiting = [("", network)]
    while waiting:
        path, module = waiting.pop()
        found[path] = module.meta["state"]
        waiting += [(f"{path}.{n}".strip("."), m) for n, m in found[path]["_modules"].items()]
    return found


def network(source: StyleGANXL) -> Any:
    """A generator as that project pickles it: more embeddings than classes, rates that the layers say."""
    tensors = dict(source.state_dict())
    rows = torch.randn(10, 7)
    if source.num_classes:
        rows[: source.num_classes] = tensors["mapping.embed.weight"]
    tensors["mapping.embed.weight"] = rows
    names = []
    for index, own in zip(FILE_INDICES, source.synthesis.layer_names, strict=True):
        names.append(f"L{index}_{own.partition('_')[2]}")
        for name in [name for name in tensors if name.startswith(f"synthesis.{own}.")]:
            moved = name.replace(f"synthesis.{own}", f"synthesis.new {names[-1]}")
            tensors[moved] = tensors.pop(name)
    tensors = {name.replace("new ", ""): tensor for name, tensor in tensors.items()}
    made = checkpoint_files._module(
        "SuperresGenerator", tensors, _init_args=(), _init_kwargs={"up_factor": 2}
    )
    states = modules(made)
    states["synthesis"].update(layer_names=names, output_scale=source.output_scale)
    if source.num_classes:
        states["mapping.embed_proj"].update(activation="lrelu", bias_gain=1)
    for index, name in enumerate(names):
        layer = source.synthesis.layer(index)
        states[f"synthesis.{name}"].update(
            {f"{side}_{what}": value for side in ("in", "out") for what, value in said(layer, side).items()},
            is_torgb=index == len(names) - 1,
            is_critically_sampled=index >= len(names) - 3,
            conv_clamp=256,
            filter_size=6,
            lrelu_upsampling=2,
            use_radial_filters=source.arguments["use_radial_filters"],
        )
    return made


def said(layer: Any, side: str) -> dict[str, float]:
    grid: Grid = layer.source if side == "in" else layer.target
    return {"sampling_rate": grid.rate, "cutoff": grid.cutoff, "half_width": grid.half_width}


def save(file: Path, made: Any) -> None:
    with checkpoint_files.other_modules():
        file.write_bytes(pickle.dumps({"G": None, "D": None, "G_ema": made}))


@pytest.mark.parametrize("radial", [False, True])
def test_it_draws_what_the_papers_formulas_give(radial: bool) -> None:
    generator = tiny(radial=radial)
    latent = generator.sample([1, 2], 0.6, [0, 2])
    mapping = generator.mapping
    assert latent.z is not None

    def unit(x: Tensor) -> Tensor:
        return x / (x.square().mean(dim=1, keepdim=True) + 1e-8).sqrt()

    embedded = F.embedding(torch.tensor([0, 2]), mapping.embed.weight)
    projection = mapping.embed_proj
    embedded = F.leaky_relu(F.linear(embedded, projection.weight / 7**0.5, projection.bias), 0.2) * 2**0.5
    x = torch.cat([unit(latent.z), unit(embedded)], dim=1)
    for layer in (mapping.fc0, mapping.fc1):
        scale = 0.01 / layer.weight.shape[1] ** 0.5
        x = F.leaky_relu(F.linear(x, scale * layer.weight, 0.01 * layer.bias), 0.2) * 2**0.5
    expected = torch.lerp(mapping.w_avg[[0, 2]], x, 0.6)
    torch.testing.assert_close(latent.codes[:, 3], expected, rtol=1e-4, atol=1e-5)
    image = torch.stack(
        [alias_free_image(double(generator), codes) for codes in latent.codes.double()]
    ).float()
    torch.testing.assert_close(generator.synthesize(latent), image, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("classes", [0, 3])
def test_the_whole_path(classes: int, tmp_path: Path) -> None:
    source = tiny(classes, placed=False)
    save(tmp_path / "g.pkl", network(source))
    loaded = whole_path.take(tmp_path / "g.pkl", source, tmp_path)
    assert isinstance(loaded, StyleGANXL)
    assert loaded.fingerprint == source.fingerprint
    assert loaded.num_classes == classes


def test_truncation_is_undone_by_the_class_that_it_went_to() -> None:
    from resefa_core.methods.published import untruncated

    generator = tiny()
    truncated = generator.sample([1, 2], 0.5, [0, 2])
    whole = generator.sample([1, 2], 1.0, [0, 2]).codes
    torch.testing.assert_close(untruncated(generator, truncated).codes, whole)
    codes_alone = resefa.Latent(truncated.codes, label=truncated.label, truncation=0.5)
    torch.testing.assert_close(untruncated(generator, codes_alone).codes, whole)
    mean = generator.mapping.w_avg.mean(dim=0)
    assert torch.equal(generator.mean_codes(), mean.expand(generator.num_layers, -1))


def changed(path: str, **attributes: object) -> Callable[[dict[str, dict[str, Any]]], None]:
    return lambda states: states[path].update(attributes)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (changed("synthesis", layer_names=["L0_8_6"]), "layer_names"),
        (changed("synthesis.L3_12_5", in_sampling_rate=4), "L3_12_5 is sampled otherwise"),
        (changed("synthesis.L3_12_5", out_cutoff="1"), "out_cutoff is no number"),
        (changed("synthesis.L7_16_3", is_critically_sampled=False), "critically sampled"),
        (changed("synthesis.L4_20_4", filter_size=8), "do not agree in"),
        (changed("mapping.fc1", bias_gain=0.1), "several multipliers"),
        (changed("mapping.embed_proj", bias_gain=0.1), "embedding is scaled"),
        (changed("synthesis", output_scale=float("nan")), "output_scale"),
        (lambda states: states["synthesis.L3_12_5"].pop("out_cutoff"), "'out_cutoff' is missing"),
        (
            lambda states: states["mapping.embed"]["_parameters"].update(weight=torch.ones(2, 7)),
            "2 classes of 3",
        ),
    ],
)
def test_what_does_not_fit_is_refused(
    change: Callable[[dict[str, dict[str, Any]]], None], reason: str, tmp_path: Path
) -> None:
    made = network(tiny())
    change(modules(made))
    save(tmp_path / "g.pkl", made)
    with pytest.raises(CheckpointError, match=reason):
        resefa.load_generator(tmp_path / "g.pkl")


@pytest.mark.parametrize(
    "grid",
    [
        [3, 8, 1.0, 1.0, 6],
        [4, 7, 1.0, 1.0, 6],
        [4, 1 << 20, 1.0, 1.0, 6],
        [4, 8, float("nan"), 1.0, 6],
        [4, 8, 2.0, 1.0, 6],
        [4, 8, 1.0, 1.0, 6.0],
        [4.0, 8, 1.0, 1.0, 6],
        [True, 8, 1.0, 1.0, 6],
        [4, 8, 1.0],
    ],
)
def test_grids_that_no_network_has_are_refused(grid: list[float]) -> None:
    with pytest.raises(ValueError, match=r"layer|expected 5"):
        StyleGANXL(5, 3, 8, [grid, *STEM[1:], *HEAD, [16, 16, 8.0, 2.0, 3]])


@pytest.mark.parametrize(
    "arguments",
    [
        {"filter_size": "6"},
        {"filter_size": 10**9},
        {"num_critical": -1},
        {"z_dim": True},
        {"z_dim": 1 << 40},
        {"embed_dim": 1 << 15},
        {"use_radial_filters": 1},
        {"output_scale": -1.0},
        {"conv_clamp": "high"},
        {"grids": None},
        {"grids": [[4, 8, 1.0, 1.0, "6"]] * 3},
        {"grids": [[4, 8, 1.0, 1.0, 6]] * 1000},
        {"colour": "green"},
    ],
)
def test_what_a_converted_file_says_is_checked(arguments: dict[str, Any], tmp_path: Path) -> None:
    source = tiny()
    metadata = {"arch": "stylegan-xl", "init_kwargs": json.dumps({**source.arguments, **arguments})}
    safetensors.torch.save_file(source.state_dict(), tmp_path / "g.safetensors", metadata)
    with pytest.raises(CheckpointError):
        resefa.load_generator(tmp_path / "g.safetensors")


def test_tensors_alone_do_not_tell_the_sampling(tmp_path: Path) -> None:
    torch.save(tiny().state_dict(), tmp_path / "g.pt")
    with pytest.raises(CheckpointError, match="StyleGAN-XL generator, whose tensors do not tell"):
        resefa.load_generator(tmp_path / "g.pt")
