"""Any differentiable function from codes to images, as a generator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import CheckpointError
from .base import Generator
from .styles import State, Style


class WrappedGenerator(Generator):
    """A user's module or function `codes -> image`, with everything that needs no inner layers.

    Directions are found in `z` (one vector moved on all layers together) and, where there is more
    than one layer, `z+` (each by itself). Edits can't be confined.

    Args:
        function: maps codes `(B, D)`, or `(B, L, D)` where `num_layers` is above 1, to images
            `(B, 3, H, W)` or `(B, 1, H, W)` in [-1, 1]; differentiable, without random parts, each
            image from its own code alone. Modules are put in evaluation mode and their
            parameters stop requiring gradients.
        latent_dim: D.
        num_layers: L.
        prior: maps standard normal noise `(B, L * D)` to the codes' distribution, e.g. a clamp.
        name: what to call it in files; the only thing that tells functions apart which are no modules.
        device: where the codes go; a module's own device by default, else the CPU.

    Raises:
        CheckpointError: the function does not return one square image per code.

    Example:
        >>> paint = lambda z: z.reshape(-1, 3, 1, 1).tanh().expand(-1, 3, 8, 8)
        >>> WrappedGenerator(paint, latent_dim=3).synthesize(WrappedGenerator(paint, 3).sample(0)).shape
        torch.Size([1, 3, 8, 8])
    """

    architecture = "custom"

    def __init__(
        self,
        function: nn.Module | Callable[[Tensor], Tensor],
        latent_dim: int,
        num_layers: int = 1,
        prior: Callable[[Tensor], Tensor] | None = None,
        name: str = "custom",
        device: str | torch.device | None = None,
    ) -> None:
        super().__init__()
        if isinstance(function, nn.Module):
            function = function.eval().requires_grad_(False)
        self.function = function
        self.name = name
        self.latent_dim = latent_dim
        self.num_layers = num_layers
        self.z_dim = num_layers * latent_dim
        self.layer_sizes = (latent_dim,) * num_layers
        self.spaces = ("z",) if num_layers == 1 else ("z+", "z")
        self._prior = prior
        self.register_buffer("_anchor", torch.zeros((), device=device), persistent=False)
        image = self.synthesize(self.sample(0))
        if image.ndim != 4 or image.shape[:2] != (1, 3) or image.shape[2] != image.shape[3]:
            raise CheckpointError(
                f"the wrapped function turned codes of shape {self._shape(1)} into an image of shape "
                f"{tuple(image.shape)}: expected (1, 3, H, H) or (1, 1, H, H)"
            )
        self.resolution = int(image.shape[2])

    def _shape(self, batch: int) -> tuple[int, ...]:
        return (batch, self.latent_dim) if self.num_layers == 1 else (batch, self.num_layers, self.latent_dim)

    def _tensors(self) -> dict[str, Tensor]:
        tensors = super()._tensors()
        own = tensors.pop("_anchor")
        return tensors or {"_anchor": own}

    def _identity(self) -> str:
        return self.name if "_anchor" in self._tensors() else ""

    def map(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        codes = z if self._prior is None else self._prior(z)
        return codes.reshape(-1, self.num_layers, self.latent_dim)

    def begin(self, batch_size: int, label: Tensor | None) -> State:
        return ()

    def step(self, layer: int, state: State, style: Style) -> State:
        return (*state, style.base)

    def finish(self, state: State) -> Tensor:
        codes = torch.stack(state, dim=1)
        image: Any = self.function(codes.reshape(self._shape(codes.shape[0])))
        if not isinstance(image, Tensor):
            raise CheckpointError(f"the wrapped function returned {type(image).__name__}, expected a tensor")
        return image.expand(-1, 3, -1, -1) if image.ndim == 4 and image.shape[1] == 1 else image
