"""Nodes that give what the ComfyUI-StyleGan packs give, on sockets of their names."""

from __future__ import annotations

import torch


class TestStyleGANLatent:
    RETURN_TYPES = ("STYLEGAN_LATENT",)
    FUNCTION = "make"
    CATEGORY = "tests"

    @classmethod
    def INPUT_TYPES(cls):  # noqa: N802
        return {"required": {"seed": ("INT", {"default": 0}), "dimensions": ("INT", {"default": 3})}}

    def make(self, seed, dimensions):
        codes = torch.randn(2, 10, 128, generator=torch.Generator().manual_seed(seed))
        return (codes if dimensions == 3 else codes[:, 0],)


class TestStyleGANDirections:
    RETURN_TYPES = ("STYLEGAN_DIRECTIONS",)
    FUNCTION = "make"
    CATEGORY = "tests"

    @classmethod
    def INPUT_TYPES(cls):  # noqa: N802
        return {"required": {}}

    def make(self):
        return (3.0 * torch.eye(128)[:4],)


NODE_CLASS_MAPPINGS = {
    "TestStyleGANLatent": TestStyleGANLatent,
    "TestStyleGANDirections": TestStyleGANDirections,
}
