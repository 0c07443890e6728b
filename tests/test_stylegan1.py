"""StyleGAN: what it draws, by its definition, and its files."""

from __future__ import annotations

import math
import pickle
from pathlib import Path
from typing import Any

import checkpoint_files as layouts
import numpy as np
import pytest
import torch
import torch.nn.functional as F
import whole_path
from torch import Tensor

import resefa_core as resefa
from resefa_core import CheckpointError
from resefa_core.generators import StyleGAN1


def tiny(channels: int = 3, fused_from: int = 128) -> StyleGAN1:
    torch.manual_seed(0)
    generator = StyleGAN1(8, 8, (6, 5, 4), channels, num_mapping_layers=2, fused_from=fused_from)
    for name, tensor in generator.state_dict().items():
        if name.endswith(("bias", "apply_noise.weight", "w_avg", "const")):
            tensor.add_(0.3 * torch.randn_like(tensor))
    return generator.eval()


def genforce_state(generator: StyleGAN1) -> dict[str, Tensor]:
    """The state dict under genforce's names, with colours of other resolutions beside the last."""
    found = {"synthesis.lod": torch.zeros(()), "synthesis.layer2.blur.kernel": torch.ones(5, 1, 3, 3)}
    for name, tensor in generator.state_dict().items():
        if name == "mapping.w_avg":
            found["truncation.w_avg"] = tensor
        elif name.startswith("mapping."):
            scaled = tensor * math.sqrt(2.0) if name.endswith("bias") else tensor
            found[name.replace("fc", "dense")] = scaled
        elif name.startswith("synthesis.output"):
            found[name.replace("output", "output2")] = tensor
            found[name.replace("output", "output0")] = torch.zeros(3)
        elif name.endswith("const"):
            found[name] = tensor[None]
        else:
            found[name] = tensor[None, None] if name.endswith("noise.noise") else tensor
    return found


def tensorflow(file: Path, generator: StyleGAN1, **arguments: Any) -> None:
    top, mapping, synthesis = [("lod", np.float32(0.0))], [], [("lod", np.float32(0.0))]
    for name, tensor in generator.state_dict().items():
        value = tensor.numpy()
        if name == "mapping.w_avg":
            top.append(("dlatent_avg", value))
            continue
        part, layer, *rest = name.split(".")
        kind = "/".join(rest)
        if part == "mapping":
            value = value.T if kind == "weight" else value * np.float32(math.sqrt(2.0))
            mapping.append((f"{layer.replace('fc', 'Dense')}/{kind}", value))
            continue
        value = value.transpose(2, 3, 1, 0) if kind == "weight" else value
        if layer == "output":
            synthesis.append((f"ToRGB_lod0/{kind}", value))
            synthesis.append((f"ToRGB_lod1/{kind}", np.zeros(3, np.float32)))
            continue
        index = int(layer.removeprefix("layer"))
        side = 4 << index // 2
        scope = f"{side}x{side}/" + (
            ("Const", "Conv")[index] if side == 4 else ("Conv0_up", "Conv1")[index % 2]
        )
        if kind == "apply_noise/noise":
            synthesis.append((f"noise{index}", value[None, None]))
        elif kind == "const":
            synthesis.append((f"{scope}/const", value[None]))
        else:
            kind = kind.replace("apply_noise", "Noise").replace("style", "StyleMod")
            synthesis.append((f"{scope}/{kind}", value.T if kind == "StyleMod/weight" else value))
    given = {"resolution": generator.resolution, "fmap_base": 16, "use_wscale": True, **arguments}

    def network(name: str, variables: list[Any], components: dict[str, Any]) -> layouts.Network:
        state = {"version": 2, "name": name, "static_kwargs": layouts.EasyDict(given), "variables": variables}
        state |= {"components": components, "build_module_src": layouts.SOURCE, "build_func_name": "G_style"}
        return layouts.Network(state)

    parts = {"synthesis": network("S", synthesis, {}), "mapping": network("M", mapping, {})}
    with layouts.other_modules():
        file.write_bytes(
            pickle.dumps((network("G", [], {}), network("D", [], {}), network("Gs", top, parts)))
        )


def save_genforce(file: Path, generator: StyleGAN1) -> None:
    torch.save({"generator_smooth": genforce_state(generator), "generator": {}}, file)


def drawn(generator: StyleGAN1, codes: Tensor) -> Tensor:
    """What the paper's figure 1b states, in float64, one step after the other."""
    state = {name: tensor.double() for name, tensor in generator.state_dict().items()}
    x = state["synthesis.layer0.const"][None]
    blur = torch.tensor([1.0, 2.0, 1.0], dtype=torch.float64) / 4
    for index in range(generator.num_layers):
        stem = f"synthesis.layer{index}"
        if index:
            weight = state[f"{stem}.weight"] * math.sqrt(2.0 / math.prod(state[f"{stem}.weight"].shape[1:]))
            if index % 2 == 0 and 4 << index // 2 >= generator.arguments["fused_from"]:
                spread = F.pad(weight, (1, 1, 1, 1))
                spread = sum(spread[..., a : a + 4, b : b + 4] for a in (0, 1) for b in (0, 1))
                x = F.conv_transpose2d(x, spread.transpose(0, 1), stride=2, padding=1)
            else:
                x = x.repeat_interleave(2, 2).repeat_interleave(2, 3) if index % 2 == 0 else x
                x = F.conv2d(x, weight, padding=1)
            if index % 2 == 0:
                padded = F.pad(x, (1, 1, 1, 1))
                rows = sum(blur[i] * padded[:, :, i : i + x.shape[2]] for i in range(3))
                x = sum(blur[i] * rows[..., i : i + x.shape[3]] for i in range(3))
        x = x + state[f"{stem}.apply_noise.weight"][:, None, None] * state[f"{stem}.apply_noise.noise"]
        x = x + state[f"{stem}.bias"][:, None, None]
        x = torch.where(x > 0, x, 0.2 * x)
        deviation = (x.var(dim=(2, 3), unbiased=False, keepdim=True) + 1e-8).sqrt()
        x = (x - x.mean(dim=(2, 3), keepdim=True)) / deviation
        code = codes[:, index].double()
        style = (
            code @ state[f"{stem}.style.weight"].T / math.sqrt(code.shape[1]) + state[f"{stem}.style.bias"]
        )
        scale, offset = style[:, :, None, None].chunk(2, dim=1)
        x = (scale + 1.0) * x + offset
    weight = state["synthesis.output.weight"]
    return F.conv2d(x, weight / math.sqrt(weight.shape[1]), state["synthesis.output.bias"])


@pytest.mark.parametrize("fused_from", [8, 16, 128])
def test_it_draws_what_its_paper_states(fused_from: int) -> None:
    generator = tiny(fused_from=fused_from)
    latent = resefa.Latent(torch.randn(2, 6, 8))
    torch.testing.assert_close(
        generator.synthesize(latent).double(), drawn(generator, latent.codes), rtol=0, atol=1e-4
    )


@pytest.mark.parametrize("layout", ["genforce", "tensorflow"])
def test_the_whole_path(layout: str, tmp_path: Path) -> None:
    source = tiny()
    (save_genforce if layout == "genforce" else tensorflow)(tmp_path / "g.pkl", source)
    loaded = whole_path.take(tmp_path / "g.pkl", source, tmp_path)
    assert loaded.architecture == "stylegan1"
    assert loaded.num_layers == 6


@pytest.mark.parametrize(("fused", "resolution"), [("auto", 128), (True, 1), (False, 1 << 20)])
def test_how_sizes_are_doubled_is_read(fused: object, resolution: int, tmp_path: Path) -> None:
    tensorflow(tmp_path / "g.pkl", tiny(), fused_scale=fused)
    assert resefa.load_generator(tmp_path / "g.pkl").arguments["fused_from"] == resolution


def test_variants_that_are_not_read_are_named(tmp_path: Path) -> None:
    tensorflow(tmp_path / "g.pkl", tiny(), use_instance_norm=False)
    with pytest.raises(CheckpointError, match="use_instance_norm"):
        resefa.load_generator(tmp_path / "g.pkl")
    state = genforce_state(tiny())
    torch.save({**state, "mapping.label_weight": torch.zeros(3, 8)}, tmp_path / "c.pth")
    with pytest.raises(CheckpointError, match="LabelConcat"):
        resefa.load_generator(tmp_path / "c.pth")
    torch.save({**state, "synthesis.lod": torch.ones(())}, tmp_path / "c.pth")
    with pytest.raises(CheckpointError, match="half grown"):
        resefa.load_generator(tmp_path / "c.pth")
    del state["synthesis.layer3.bias"]
    torch.save(state, tmp_path / "c.pth")
    with pytest.raises(CheckpointError, match=r"missing \['synthesis\.layer3\.bias'\]"):
        resefa.load_generator(tmp_path / "c.pth")


def test_scales_are_ranked_and_offsets_are_not() -> None:
    known = tiny().feature_channels(2)
    assert known.tolist() == [True] * 5 + [False] * 5
    assert not tiny().feature_channels(5).any()
