"""A linear map from latent vectors to images, formed or only applied."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from ..progress import Progress


class LinearOperator(ABC):
    """A linear map from latent vectors `(d,)` to images `(3, h, w)`, and its transpose.

    Where the map is the derivative of an image, these are the products of forward and of reverse mode.
    """

    @property
    @abstractmethod
    def dimension(self) -> int:
        """d, the number of entries of a latent vector."""

    @property
    @abstractmethod
    def image_size(self) -> tuple[int, int]:
        """Height and width of the images, in pixels; they have three channels."""

    @property
    @abstractmethod
    def device(self) -> torch.device:
        """Where products are computed."""

    @property
    def num_outputs(self) -> int:
        """Numbers in an image, the rows of the map's matrix: three channels of every pixel."""
        height, width = self.image_size
        return 3 * height * width

    @abstractmethod
    def jvp(self, vectors: Tensor, progress: Progress | None = None) -> Tensor:
        """Latent vectors `(n, d)` to images `(n, 3, h, w)`."""

    @abstractmethod
    def vjp(self, images: Tensor, progress: Progress | None = None) -> Tensor:
        """Images `(n, 3, h, w)` to latent vectors `(n, d)`: the transpose."""

    @abstractmethod
    def columns(self, progress: Progress | None = None) -> Tensor:
        """The dense form: the images of all unit vectors, `(d, 3, h, w)`."""
