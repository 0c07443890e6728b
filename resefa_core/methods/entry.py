"""The linear maps that a generator's codes meet first."""

from __future__ import annotations

import torch
from torch import Tensor

from ..generators import DCGAN, PGGAN, BigGAN, BigGANDeep, Generator, StyleGAN2, StyleGAN3
from ..generators.biggan import Block


def entry_maps(generator: Generator) -> list[Tensor]:
    """For each layer what its code is multiplied by, `(outputs, D)`, on the CPU in float64.

    StyleGAN2 and 3: the affine map to the styles of the layer's convolution; to-RGB convolutions share
    their code with another one, and only the last is counted. DCGAN, PGGAN: the first convolution. BigGANs:
    the linear layer that makes the first feature map, then for each block the maps to its gains and
    offsets. Empty where the layers are not known.
    """
    maps: list[Tensor] = []
    if isinstance(generator, StyleGAN2):
        convolutions = [generator.style_slices(layer)[-1][0] for layer in range(generator.num_layers)]
        maps = [convolution.affine.matrix() for convolution in convolutions]
    elif isinstance(generator, StyleGAN3):
        maps = [generator.style_matrix(layer) for layer in range(generator.num_layers)]
    elif isinstance(generator, DCGAN):
        maps = [generator.get_parameter("convolutions.0.weight").flatten(1).T]
    elif isinstance(generator, PGGAN):
        maps = [generator.get_parameter("layer0.weight").movedim(1, -1).flatten(0, 2)]
    elif isinstance(generator, BigGAN):
        maps = _of_biggan(generator)
    elif isinstance(generator, BigGANDeep):
        maps = _of_biggan_deep(generator)
    return [matrix.detach().to("cpu", torch.float64) for matrix in maps]


def unknown_layers(generator: Generator) -> str:
    """Why a method that reads these maps isn't defined for a generator; empty where it is."""
    return "" if entry_maps(generator) else f"the layers of this {generator.architecture} are not known"


def _of_biggan(generator: BigGAN) -> list[Tensor]:
    if not generator.hierarchical:
        return [generator.linear.weight]
    blocks = [module for module in generator.blocks.modules() if isinstance(module, Block)]
    layers = [(block.bn1.gain, block.bn1.bias, block.bn2.gain, block.bn2.bias) for block in blocks]
    parts = [[layer.weight[:, -generator.latent_dim :] for layer in four] for four in layers]
    return [generator.linear.weight, *(torch.cat(part) for part in parts)]


def _of_biggan_deep(generator: BigGANDeep) -> list[Tensor]:
    synthesis = generator.generator
    maps: list[Tensor] = [synthesis.gen_z.weight]
    for _, block in synthesis.blocks():
        norms = (block.bn_0, block.bn_1, block.bn_2, block.bn_3)
        maps.append(torch.cat([layer.weight for norm in norms for layer in (norm.scale, norm.offset)]))
    return [matrix[:, : generator.z_dim] for matrix in maps]
