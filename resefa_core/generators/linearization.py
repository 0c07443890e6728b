"""A generator's derivative at one latent, applied in forward and in reverse mode."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.func import vjp, vmap

from .forward_mode import push_forward
from .styles import Gate, State, Style

if TYPE_CHECKING:
    from .base import Generator


class Linearization:
    """The derivative of one image with respect to its layers' styles.

    The states before every layer are kept, so that a tangent that starts at an inner layer costs
    only the layers from there on.

    Args:
        generator: any generator, in float32.
        styles: one style `(1, S)` per layer, possibly with moves (then kept fixed).
        condition: what `Generator.condition` gives for the image.
        gate: where the styles move; everywhere alike for None.
    """

    def __init__(
        self,
        generator: Generator,
        styles: Sequence[Style],
        condition: Tensor | None,
        gate: Gate | None = None,
    ) -> None:
        self.generator = generator
        self.gate = gate
        self.styles = list(styles)
        self.states: list[State] = [generator.begin(1, condition)]
        for layer, style in enumerate(self.styles):
            self.states.append(generator.step(layer, self.states[-1], style))
        self.image = generator.finish(self.states[-1])

    def rough(self, dtype: torch.dtype) -> Linearization:
        """The same derivative with products in a narrower type, off by a percent, where they are written out;
        else itself."""
        return self

    @property
    def nbytes(self) -> int:
        """The memory that what is kept takes, in bytes."""
        return sum({id(tensor): tensor.nbytes for tensor in self._kept()}.values())

    def _kept(self) -> list[Tensor]:
        """The larger tensors that are kept; some of them several times."""
        return [self.image, *(tensor for state in self.states for tensor in state)]

    def _start(self, layer: int) -> Tensor:
        """The value at which the derivative with respect to a layer's style is taken, for `_styled`."""
        base = self.styles[layer].base
        return base if self.gate is None else torch.zeros_like(base)

    def _styled(self, layer: int, value: Tensor) -> Style:
        """A layer's style as what moves has a value: the style itself, or the move that passes the gate."""
        style = self.styles[layer]
        if self.gate is None:
            return style._replace(base=value)
        return style._replace(moves=(*style.moves, (self.gate, value)))

    def _tail(self, layers: Sequence[int]) -> Callable[..., Tensor]:
        """Values for the given layers, each `(1, S)`, to the image `(3, H, W)`."""
        first = min(layers)

        def tail(*values: Tensor) -> Tensor:
            given = dict(zip(layers, values, strict=True))
            state = self.states[first]
            for layer in range(first, len(self.styles)):
                style = self._styled(layer, given[layer]) if layer in given else self.styles[layer]
                state = self.generator.step(layer, state, style)
            return self.generator.finish(state)[0]

        return tail

    def push(self, tangents: Mapping[int, Tensor]) -> Tensor:
        """Forward mode: style tangents `(n, S)` by layer to image tangents `(n, 3, H, W)`."""
        layers = sorted(tangents)
        tail = self._tail(layers)
        at = [self._start(layer) for layer in layers]
        return push_forward(tail, at, [tangents[layer][:, None] for layer in layers])

    def push_finish(self, tangents: Tensor) -> Tensor:
        """Tangents of the last state's one tensor, `(n, C, H, W)`, to image tangents."""
        return push_forward(lambda x: self.generator.finish((x,))[0], self.states[-1], [tangents[:, None]])

    def pull(self, cotangents: Tensor, layers: Sequence[int]) -> dict[int, Tensor]:
        """Reverse mode: image cotangents `(n, 3, H, W)` to style cotangents `(n, S)` by layer.

        Layer by layer from the last one, each from the state that was kept before it, so that no more than
        one layer's activations are in memory for each cotangent.
        """
        pulled: dict[int, Tensor] = {}
        first = min(layers)
        with torch.enable_grad():
            state = self._pull_through(self.generator.finish, len(self.styles), cotangents[:, None])
            for layer in range(len(self.styles) - 1, first - 1, -1):
                if layer == first:
                    pulled[layer] = self.pull_style(layer, state)
                    break

                def step(state: State, value: Tensor, layer: int = layer) -> State:
                    return self.generator.step(layer, state, self._styled(layer, value))

                state, own = self._pull_through(step, layer, state, self._start(layer))
                if layer in layers:
                    pulled[layer] = own[:, 0].detach()
        return pulled

    def pull_style(self, layer: int, state: State) -> Tensor:
        """Cotangents of the state after a layer, `(n, 1, C, H, W)` each, to those of its style alone,
        `(n, S)`."""
        before = self.states[layer]
        with torch.enable_grad():
            back = vjp(
                lambda value: _moving(self.generator.step(layer, before, self._styled(layer, value))),
                self._start(layer),
            )[1]
            (own,) = vmap(back)(state)
        styles: Tensor = own[:, 0].detach()
        return styles

    def pull_finish(self, cotangents: Tensor) -> State:
        """Image cotangents `(n, 3, H, W)` to those of the last state's tensors, `(n, C, H, W)` each."""
        with torch.enable_grad():
            state = self._pull_through(self.generator.finish, len(self.styles), cotangents[:, None])
        return tuple(part[:, 0].detach() for part in state)

    def _pull_through(self, function: Callable[..., Any], index: int, cotangents: Any, *more: Tensor) -> Any:
        """Cotangents of a function of the state `index` (and of more) to cotangents of that state's moving
        parts (and of more)."""
        state = self.states[index]

        def of_moving(moving: State, *more: Tensor) -> Any:
            parts = iter(moving)
            whole = tuple(next(parts) if part.is_floating_point() else part for part in state)
            return _moving(function(whole, *more))

        back = vjp(of_moving, _moving(state), *more)[1]
        pulled = vmap(back)(cotangents)
        return pulled if more else pulled[0]


def image_sums(x: Tensor, y: Tensor) -> Tensor:
    """Sums over the image of `(n, C, H, W)` times `(1, C, H, W)`: `(n, C)`."""
    return (x * y).sum(dim=(2, 3))


def _moving(value: Any) -> Any:
    """The parts of a state that have derivatives; an image as it is."""
    if isinstance(value, tuple):
        return tuple(part for part in value if part.is_floating_point())
    return value
