"""What every generator offers: a chain of layers, each driven by one style vector.

A generator turns codes `(B, L, D)` into an image in three moves, and everything else in the package
(Jacobians that start at an inner layer, confined edits, style space) rests on them::

    state = generator.begin(batch_size, label)
    for layer, style in enumerate(styles):
        state = generator.step(layer, state, style)
    image = generator.finish(state)

The style of a layer is an affine function of that layer's code; architectures without one use the
code itself.
"""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from itertools import chain
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from ..bounds import TRUNCATION, check_image, number
from ..errors import LatentError
from ..latents import Latent, draw_noise
from ..memory import joined
from ..precision import full_precision
from .classes import find_name
from .description import GeneratorDescription
from .linearization import Linearization
from .pretrained import Pretrained
from .styles import Gate, State, Style

if TYPE_CHECKING:
    from collections.abc import Iterable


LAYER_GROUPS = ("all", "coarse", "middle", "fine")
"""Names for layers by what they do: coarse ones shape, fine ones colour and texture."""


class Published(NamedTuple):
    """Directions that were published as `.npy`, and what they are for.

    Attributes:
        architecture, resolution: of the generator.
        layers: what they move, in w.
        sha256: of the numbers, as little-endian float32, by which a file of another name is recognised; empty
            where it goes by the name alone.
    """

    architecture: str
    resolution: int
    layers: tuple[int, ...]
    sha256: str = ""


class Generator(Pretrained, nn.Module, ABC):
    """A pretrained generator, seen as a chain of layers.

    Attributes:
        architecture: the family's name, e.g. `"stylegan2"`.
        name: what the user called it: a bundled name or a file's stem.
        resolution: the longer side of the image, in pixels; see `image_size`.
        z_dim: size of the noise that `sample` draws.
        num_layers: L, the number of codes that drive an image.
        latent_dim: D, the size of one code.
        layer_sizes: the number of style channels of each layer.
        num_classes: how many classes the model knows, 0 if none.
        class_names: what they are called, where that is known; see `find_class`.
        spaces: the latent spaces in which directions can be found; the first is the default.
        has_mapping: whether noise passes a mapping network (`w`) or drives the layers itself (`z`).
        can_confine: whether codes may vary over the image.
        preset_family: the named regions that fit its images whatever they show, a key of `PRESETS`; empty
            where that depends on the weights.
        arguments: what the class was built with, by name; files state them.
        published_directions: directions that were published for it as `.npy`, by file stem.
        implementation: the address of the code whose tensor names its files have; empty for none.
        tuned_from: the fingerprint of the generator that it was tuned from, whose directions and latents fit
            it; empty for none.
        author, license: whom to credit for its images, and under which license they are; empty where its file
            doesn't say.
    """

    architecture: str
    name: str = ""
    resolution: int
    z_dim: int
    num_layers: int
    latent_dim: int
    layer_sizes: tuple[int, ...]
    num_classes: int = 0
    class_names: tuple[str, ...] = ()
    spaces: tuple[str, ...]
    has_mapping: bool = False
    can_confine: bool = False
    preset_family: str = ""
    published_directions: ClassVar[Mapping[str, tuple[str, int, tuple[int, ...]] | Published]] = {}
    implementation: str = ""
    tuned_from: str = ""
    author: str = ""
    license: str = ""

    arguments: Mapping[str, Any]

    def __new__(cls, *args: Any, **kwargs: Any) -> Generator:
        generator = super().__new__(cls)
        with contextlib.suppress(TypeError):  # which __init__ will raise, in Python's own words
            bound = inspect.signature(cls.__init__).bind(generator, *args, **kwargs)
            bound.apply_defaults()
            generator.__dict__["arguments"] = dict(list(bound.arguments.items())[1:])
        return generator

    @classmethod
    def file_arguments(cls, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The class's arguments as its files state them: by default as they are."""
        return dict(arguments)

    @abstractmethod
    def map(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        """Noise `(B, z_dim)` and optional classes `(B,)` to untruncated codes `(B, L, D)`."""

    def mean_codes(self) -> Tensor:
        """The codes that truncation pulls towards, `(L, D)`."""
        return torch.zeros(self.num_layers, self.latent_dim, device=self.device, dtype=self.dtype)

    def mean_codes_of(self, label: Tensor | None) -> Tensor:
        """The codes that truncation pulls images of these classes `(B,)` towards, `(L, D)` or, where classes
        have their own, `(B, L, D)`."""
        return self.mean_codes()

    def condition(self, latent: Latent) -> Tensor | None:
        """What an image depends on beside its styles, `(B, ...)`, for `begin`: the classes by default."""
        return None if latent.label is None else latent.label.to(self.device)

    @abstractmethod
    def begin(self, batch_size: int, condition: Tensor | None) -> State:
        """The state before the first layer."""

    @abstractmethod
    def step(self, layer: int, state: State, style: Style) -> State:
        """Run one layer."""

    @abstractmethod
    def finish(self, state: State) -> Tensor:
        """The image `(B, 3, H, W)` of the state after the last layer; what is not opaque over white."""

    def cut_out(self, state: State) -> Tensor | None:
        """The colours of the state after the last layer with their opacity, `(B, 4, H, W)` in about [-1, 1];
        None where everything is opaque."""
        return None

    def style_matrix(self, layer: int) -> Tensor | None:
        """The linear part of code -> style, `(S, D)`, or None where the style is the code."""
        return None

    def style(self, layer: int, code: Tensor) -> Tensor:
        """The style `(B, S)` of a layer's code `(B, D)`."""
        return code

    def entry_map(self, layer: int) -> Tensor | None:
        """What a layer's code is multiplied by first, `(outputs, D)`, whose singular vectors SeFa takes; None
        where that is not known, for one layer as for all."""
        return None

    def entry_input(self, codes: Tensor) -> Tensor:
        """What `entry_map(0)` multiplies, `(B, D)`, for codes of layer 0, `(B, D)`: by default the codes."""
        return codes

    def feature_channels(self, layer: int) -> Tensor:
        """Which of a layer's style channels scale a feature map that a convolution takes on, boolean `(S,)`:
        those that StyleSpace ranks. The channels of convolutions to RGB don't."""
        return torch.ones(self.layer_sizes[layer], dtype=torch.bool)

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of the image, in pixels: square, unless an architecture says otherwise."""
        return self.resolution, self.resolution

    @property
    def is_square(self) -> bool:
        height, width = self.image_size
        return height == width

    def activation_floats(self) -> int:
        """About how many numbers the widest moment of one image's pass holds; sizes the chunks."""
        return 96 * self.resolution**2

    @property
    def device(self) -> torch.device:
        return self._any_tensor().device

    @property
    def dtype(self) -> torch.dtype:
        return self._any_tensor().dtype

    def _any_tensor(self) -> Tensor:
        return next(chain(self.parameters(), self.buffers()))

    def _tensors(self) -> dict[str, Tensor]:
        return {**dict(self.named_parameters()), **dict(self.named_buffers())}

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the tensors' names, shapes and values (as float16): the same model in
        float32 or float16, on any device, has the same fingerprint."""
        tensors = self._tensors()
        key = tuple((t.data_ptr(), _version(t)) for t in tensors.values())
        cached: tuple[object, str] | None = self.__dict__.get("_fingerprint")
        if cached is not None and cached[0] == key:
            return cached[1]
        digest = hashlib.sha256(self._identity().encode())
        for name in sorted(tensors):
            tensor = tensors[name].detach()
            digest.update(f"{name}{tuple(tensor.shape)}".encode())
            digest.update(tensor.to("cpu", torch.float16).contiguous().numpy().tobytes())
        self.__dict__["_fingerprint"] = (key, digest.hexdigest())
        return digest.hexdigest()

    @property
    def fits(self) -> tuple[str, ...]:
        """The fingerprints of the generators whose directions and latents are for this one as well: its own,
        and that of the one that it was tuned from."""
        return (self.fingerprint, self.tuned_from) if self.tuned_from else (self.fingerprint,)

    def _identity(self) -> str:
        """What tells models apart beyond their tensors."""
        return ""

    def describe(self) -> GeneratorDescription:
        """What files record of the generator that something was made with."""
        told = {
            "architecture": self.architecture,
            "resolution": self.resolution,
            "fingerprint": self.fingerprint,
            "name": self.name,
            "has_mapping": self.has_mapping,
        }
        sides = {} if self.is_square else {"height": self.image_size[0], "width": self.image_size[1]}
        return GeneratorDescription.of(told | sides)

    def sample(
        self,
        seed: int | Sequence[int] = 0,
        truncation: float = 1.0,
        label: int | Sequence[int] | None = None,
        truncation_layers: int | None = None,
    ) -> Latent:
        """Draw latents by seed, the same on every machine (NVIDIA's convention).

        Args:
            seed: one seed or several, each in [0, 2**32 - 1].
            truncation: 1 leaves codes as drawn, 0 gives the mean image.
            label: a class, or one for each seed; required exactly where the model has classes.
            truncation_layers: truncate only that many first layers; all of them by default.

        Returns:
            A latent with codes `(B, L, D)`, B the number of seeds.

        Raises:
            LatentError: a seed, class or truncation is out of range.
        """
        seeds = tuple(int(s) for s in seed) if isinstance(seed, Sequence) else (int(seed),)
        labels = self._check_label(label, len(seeds))
        z = self.draw(seeds).to(self.device, self.dtype)
        with torch.no_grad():
            codes = self.codes_of_noise(z, labels, truncation, truncation_layers)
        return Latent(
            codes=codes,
            z=z if self.has_mapping else None,
            label=labels,
            seed=seeds,
            truncation=float(truncation),
            truncation_layers=truncation_layers,
            generator=self.fingerprint,
        )

    def draw(self, seeds: Sequence[int]) -> Tensor:
        """The noise of seeds, `(B, z_dim)`, float32: standard normal by default."""
        return draw_noise(seeds, self.z_dim)

    def codes_of_noise(
        self, z: Tensor, label: Tensor | None, truncation: float, truncation_layers: int | None = None
    ) -> Tensor:
        """Truncated codes `(B, L, D)` of noise `(B, z_dim)`."""
        truncation = number(truncation, "truncation", *TRUNCATION, LatentError)
        count = self.num_layers if truncation_layers is None else truncation_layers
        if not 0 <= count <= self.num_layers:
            raise LatentError(
                f"truncation_layers {count} is out of range: this generator has {self.num_layers} layers"
            )
        codes = self.map(z, label)
        if truncation == 1.0:
            return codes
        mean = self.mean_codes_of(label).to(codes)
        amount = codes.new_ones(self.num_layers, 1)
        amount[:count] = truncation
        return mean + amount * (codes - mean)

    def _check_label(self, label: int | Sequence[int] | None, batch: int) -> Tensor | None:
        if self.num_classes == 0:
            if label is not None:
                raise LatentError(f"class {label} was given, but this {self.architecture} has no classes")
            return None
        if label is None:
            raise LatentError(f"this {self.architecture} needs a class in [0, {self.num_classes - 1}]")
        labels = [int(x) for x in label] if isinstance(label, Sequence) else [int(label)] * batch
        if len(labels) != batch:
            raise LatentError(f"{len(labels)} classes were given for {batch} seeds")
        if not all(0 <= x < self.num_classes for x in labels):
            raise LatentError(f"class {labels} is out of range: expected [0, {self.num_classes - 1}]")
        return torch.tensor(labels, device=self.device)

    def find_class(self, words: str) -> int:
        """A class by its number, its name, or a part of its name that no other name has.

        Raises:
            LatentError: none or several of that name; it lists those that come close.

        Example:
            >>> from resefa_core import BigGANDeep
            >>> BigGANDeep(channel_width=8).find_class("golden retriever")
            207
        """
        text = " ".join(words.lower().split())
        if self.num_classes == 0:
            raise LatentError(f"class {words[:80]!r} was given, but this {self.architecture} has no classes")
        if re.fullmatch(r"[0-9]{1,9}", text) and int(text) < self.num_classes:
            return int(text)
        if not self.class_names:
            raise LatentError(
                f"class {words[:80]!r}: the names of this {self.architecture}'s classes are not known: "
                f"expected a number in [0, {self.num_classes - 1}]"
            )
        return find_name(text, self.class_names)

    def check_layers(self, layers: Iterable[int] | None) -> tuple[int, ...]:
        """Sorted, distinct layer indices; all layers for None."""
        if layers is None:
            return tuple(range(self.num_layers))
        chosen = tuple(sorted({int(layer) for layer in layers}))
        if not chosen or chosen[0] < 0 or chosen[-1] >= self.num_layers:
            raise LatentError(
                f"layers {str(list(chosen))[:80]} do not fit: this {self.architecture} has layers "
                f"0 to {self.num_layers - 1}"
            )
        return chosen

    def choose_layers(self, text: str) -> tuple[int, ...]:
        """Layers in words: `all`, `coarse`, `middle`, `fine`, or a list like `0-3, 6`.

        Raises:
            LatentError: not a list, or layers that this generator does not have.
        """
        group = text.strip().lower()
        if group in LAYER_GROUPS:
            layers = self.layer_group(group)
            if not layers:
                raise LatentError(
                    f"this {self.architecture} of {self.num_layers} layers has no {group} layers"
                )
            return layers
        chosen: list[int] = []
        for part in group.split(","):
            match = re.fullmatch(r"([0-9]{1,4})(?:\s*-\s*([0-9]{1,4}))?", part.strip())
            if match is None:
                raise LatentError(
                    f"layers {text[:80]!r}: expected {', '.join(LAYER_GROUPS)}, or a list like 0-3, 6"
                )
            first, last = int(match[1]), int(match[2] or match[1])
            if last < first:
                raise LatentError(f"layers {part.strip()!r} run backwards: write the smaller number first")
            chosen.extend(range(first, last + 1))
        return self.check_layers(chosen)

    def layer_group(self, group: str) -> tuple[int, ...]:
        """The layers of a group of `LAYER_GROUPS`: a third each, first ones coarse."""
        third = -(-self.num_layers // 3)
        bounds = {"coarse": (0, third), "middle": (third, 2 * third), "fine": (2 * third, self.num_layers)}
        return tuple(range(self.num_layers)[slice(*bounds.get(group, (None, None)))])

    def check_latent(self, latent: Latent) -> None:
        """Raise LatentError unless the latent's shapes fit this generator."""
        if latent.codes.shape[1:] != (self.num_layers, self.latent_dim):
            raise LatentError(
                f"the latent's codes have shape {tuple(latent.codes.shape)}, but this "
                f"{self.architecture} takes (B, {self.num_layers}, {self.latent_dim})"
            )
        styles = [latent.style_offset, *(move.styles for move in latent.confined)]
        for name, size, tensors in (
            ("style channels", sum(self.layer_sizes), styles),
            ("entries of noise", self.z_dim, [latent.z]),
        ):
            for tensor in tensors:
                if tensor is not None and tensor.shape[1] != size:
                    raise LatentError(
                        f"the latent has {tensor.shape[1]} {name}, but this {self.architecture} {size}"
                    )
        if latent.label is not None:
            self._check_label(latent.label.tolist(), len(latent))

    def styles(self, latent: Latent) -> list[Style]:
        """The style of every layer, with the latent's own moves resolved."""
        self.check_latent(latent)
        latent = latent.to(self.device, self.dtype)
        codes = latent.codes + self.noise_move(latent, None, latent.z_offset)
        styles = [self.style(layer, codes[:, layer]) for layer in range(self.num_layers)]
        if latent.style_offset is not None:
            offsets = latent.style_offset.split(list(self.layer_sizes), dim=1)
            styles = [style + offset for style, offset in zip(styles, offsets, strict=True)]
        moves: list[list[tuple[Gate, Tensor]]] = [[] for _ in styles]
        for move in latent.confined:
            self.check_can_confine()
            gate = Gate(move.region, move.confine)
            for layer, delta in enumerate(self.style_deltas(latent, move.codes, move.styles, move.z)):
                if bool(delta.any()):
                    moves[layer].append((gate, delta))
        return [Style(base, tuple(move)) for base, move in zip(styles, moves, strict=True)]

    def check_can_confine(self) -> None:
        """Raise LatentError where edits can't be confined."""
        if not self.can_confine:
            raise LatentError(
                f"this {self.architecture} cannot confine an edit: its codes do not vary over the image"
            )

    def noise_move(self, latent: Latent, start: Tensor | None, move: Tensor | None) -> Tensor:
        """What moving the noise on from `z + start` adds to the codes, `(B, L, D)`."""
        if move is None:
            return torch.zeros_like(latent.codes)
        if latent.z is None:
            raise LatentError("the latent has no noise (z): it was imported as codes; use w, w+ or s")
        z = latent.z if start is None else latent.z + start
        options = (latent.label, latent.truncation, latent.truncation_layers)
        return self.codes_of_noise(z + move, *options) - self.codes_of_noise(z, *options)

    def style_deltas(
        self, latent: Latent, codes: Tensor | None, styles: Tensor | None, z: Tensor | None
    ) -> list[Tensor]:
        """Offsets of codes `(B, L, D)`, styles `(B, sum S)` and noise `(B, z_dim)` as one offset of
        each layer's style, `(B, S)`."""
        total = self.noise_move(latent, latent.z_offset, z)
        if codes is not None:
            total = total + codes
        deltas = []
        for layer in range(self.num_layers):
            matrix = self.style_matrix(layer)
            deltas.append(total[:, layer] if matrix is None else total[:, layer] @ matrix.T)
        if styles is not None:
            offsets = styles.split(list(self.layer_sizes), dim=1)
            deltas = [delta + offset for delta, offset in zip(deltas, offsets, strict=True)]
        return deltas

    def render(self, styles: Sequence[Style], condition: Tensor | None = None) -> Tensor:
        """The image `(B, 3, H, W)` of one style per layer; differentiable."""
        return self.finish(self._after_layers(styles, condition))

    def _after_layers(self, styles: Sequence[Style], condition: Tensor | None) -> State:
        """The state after the last layer."""
        state = self.begin(styles[0].base.shape[0], condition)
        for layer, style in enumerate(styles):
            state = self.step(layer, state, style)
        return state

    def linearize(
        self, styles: Sequence[Style], condition: Tensor | None, gate: Gate | None = None
    ) -> Linearization:
        """The derivative of the image at one style `(1, S)` per layer, of moves where the gate is open."""
        return Linearization(self, styles, condition, gate)

    def forward(self, *inputs: Any, **options: Any) -> Tensor:
        """What `generator(latent)` gives: the images of a latent, or of noise where nothing else is needed.

        Args:
            inputs: a `Latent`, as `synthesize` takes it; or noise, `(B, z_dim)`, as other generators take it,
                which is not truncated.

        Returns:
            `(B, 3, H, W)` in about [-1, 1], float32; noise keeps its derivatives.

        Raises:
            LatentError: anything else; it says what to call.
        """
        given = inputs[0] if len(inputs) == 1 and not options else None
        if isinstance(given, Latent):
            return self.synthesize(given)
        if not isinstance(given, Tensor) or not self._takes_noise(given):
            drawn = "seed=0, truncation=0.7, label=0" if self.num_classes else "seed=0, truncation=0.7"
            noise = "" if self.num_classes else f" or with noise of shape (B, {self.z_dim})"
            raise LatentError(
                f"this {self.architecture} is called with one Latent{noise}: draw one with "
                f"generator.sample({drawn}), or make one of codes with Latent(codes)"
            )
        codes = self.map(given.to(self.device, self.dtype))
        styles = [Style(self.style(layer, codes[:, layer])) for layer in range(self.num_layers)]
        latent = Latent(codes.detach())
        with full_precision:
            return self.render(styles, self.condition(latent)).float()

    def _takes_noise(self, given: Tensor) -> bool:
        return given.is_floating_point() and given.shape[1:] == (self.z_dim,) and not self.num_classes

    def save(self, path: str | PathLike[str], overwrite: bool = False) -> None:
        """Write the generator as safetensors, which `load_generator` reads back to the bit.

        Args:
            path: the file to write, by way of a temporary one beside it.
            overwrite: whether a file that exists is replaced.

        Raises:
            CheckpointError: the file exists and `overwrite` is false, it can't be written, or this is an
                architecture that is not registered.
        """
        from ..checkpoints.conversion import save_generator

        save_generator(self, Path(path), overwrite)

    def extra_repr(self) -> str:
        classes = f", {self.num_classes} classes" if self.num_classes else ""
        height, width = self.image_size
        return (
            f"{self.name or self.architecture}, {width} x {height}, codes "
            f"({self.num_layers}, {self.latent_dim}){classes}, spaces {', '.join(self.spaces)}"
        )

    def __repr__(self) -> str:
        """One line, not the tree of modules."""
        return f"{type(self).__name__}({self.extra_repr()})"

    def synthesize(self, latent: Latent, check_finite: bool = True, cut_out: bool = False) -> Tensor:
        """The images of a latent, `(B, 3, H, W)` in about [-1, 1], float32.

        Without TF32, so that a latent has the same image on any device; in smaller batches where memory runs
        out.

        Args:
            latent: of this generator.
            check_finite: refuse images that are not finite.
            cut_out: of generators that draw opacity, the colours as they are, with the opacity as a fourth
                channel, -1 clear and 1 opaque, `(B, 4, H, W)`, instead of laid over white; nothing else for
                others.

        Raises:
            LatentError: the latent does not fit this generator, or leads to no image.
        """

        def some(rows: slice) -> Tensor:
            part = latent if rows == slice(0, len(latent)) else latent[rows]
            state = self._after_layers(self.styles(part), self.condition(part))
            clear = self.cut_out(state) if cut_out else None
            return (self.finish(state) if clear is None else clear).float()

        with torch.no_grad(), full_precision:
            images = joined(some, len(latent))
        if check_finite:
            check_image(images)
        return images


def _version(tensor: Tensor) -> int:
    return 0 if tensor.is_inference() else tensor._version
