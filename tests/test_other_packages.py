"""Architectures, readers and latent spaces of other packages: one class, one function, one description, and
nothing in this package changes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from models import tiny_stylegan2
from torch import Tensor, nn

import resefa_core as resefa
from resefa_core.checkpoints import (
    READERS,
    Content,
    Weights,
    about_of,
    describe,
    explained,
    has_names,
    named_tensors,
)
from resefa_core.generators import GENERATORS, PUBLISHED
from resefa_core.generators.styles import State, Style, modulate
from resefa_core.latents import Latent
from resefa_core.spaces import SPACES, Offsets, Part, Space, latent_space, quick_space

REGION = resefa.Region.from_box(0.0, 0.0, 0.5, 1.0)


class Painter(resefa.Generator):
    """Fixed strokes, `(width, 8, 8)`, that a code scales, then mixes into colours, on each of two layers."""

    architecture = "painter"
    implementation = "https://painter.example"
    spaces = ("z+", "z", "s")
    can_confine = True
    preset_family = "biggan"
    published_directions = {"painter_hat": ("painter", 8, (1,))}  # noqa: RUF012

    def __init__(self, width: int = 6) -> None:
        super().__init__()
        self.z_dim = self.latent_dim = width
        self.num_layers, self.layer_sizes, self.resolution = 2, (width, width), 8
        self.strokes = nn.Parameter(torch.randn(1, width, 8, 8))
        self.brush = nn.Parameter(torch.randn(2, width, width, 1, 1))
        self.colours = nn.Parameter(torch.randn(3, width, 1, 1))
        self.requires_grad_(False)

    def map(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        return z[:, None].expand(-1, 2, -1).clone()

    def begin(self, batch_size: int, condition: Tensor | None) -> State:
        return (self.strokes.expand(batch_size, -1, -1, -1),)

    def step(self, layer: int, state: State, style: Style) -> State:
        return (torch.conv2d(modulate(state[0], style), self.brush[layer]).tanh(),)

    def finish(self, state: State) -> Tensor:
        return torch.conv2d(state[0], self.colours).tanh()

    def entry_map(self, layer: int) -> Tensor:
        return self.brush[layer, :, :, 0, 0]

    def feature_channels(self, layer: int) -> Tensor:
        return torch.full((self.latent_dim,), layer == 0)


class Odd(Space):
    """Every second entry of w, moved on all layers together."""

    def shape(self, generator: resefa.Generator, layers: object) -> tuple[int, ...]:
        return (generator.latent_dim // 2,)

    def parts(self, generator: resefa.Generator, latent: Latent, layers) -> tuple[Part, ...]:  # type: ignore[no-untyped-def]
        size = generator.latent_dim // 2
        matrices = [generator.style_matrix(layer) for layer in layers]
        return tuple(
            Part(layer, 0, size, matrix[:, 1::2])
            for layer, matrix in zip(layers, matrices, strict=True)
            if matrix is not None
        )

    def offsets(self, vector: Tensor, latent: Latent, layers, layer_sizes, has_mapping) -> Offsets:  # type: ignore[no-untyped-def]
        codes = torch.zeros_like(latent.codes)
        for layer in layers:
            codes[:, layer, 1::2] = vector
        return Offsets(codes=codes)


@pytest.fixture
def painter() -> Iterator[Painter]:
    resefa.register_generator(Painter)

    @resefa.register_reader("Painter", lambda content: has_names(content.root, "brush", "strokes"))
    def read(content: Content) -> Weights:
        with explained(content.file, "no Painter"):
            tensors, about = named_tensors(content), about_of(content)
            about.pop("init_kwargs", None)
            width = tensors["strokes"].shape[1]
        return Weights(content.file, "Painter", "painter", {"width": width}, tensors, about)

    torch.manual_seed(0)
    yield Painter(4).eval()
    READERS.pop()
    del GENERATORS["painter"], PUBLISHED["painter_hat"]


@pytest.fixture
def odd() -> Iterator[str]:
    resefa.register_space(Odd("odd", shared=True))
    yield "odd"
    del SPACES["odd"]


def test_an_architecture_is_read_drawn_searched_and_saved(painter: Painter, tmp_path: Path) -> None:
    torch.save(painter.state_dict(), tmp_path / "monet.pth")
    generator = resefa.load_generator(tmp_path / "monet.pth")
    assert type(generator) is Painter
    assert generator.fingerprint == painter.fingerprint
    generator.save(tmp_path / "saved.safetensors")
    again = resefa.load_generator(tmp_path / "saved.safetensors")
    resefa.convert(tmp_path / "monet.pth", tmp_path / "converted.safetensors")
    converted = resefa.load_generator(tmp_path / "converted.safetensors")
    latent = generator.sample(3, 0.7)
    for other in (again, converted):
        assert torch.equal(other.synthesize(other.sample(3, 0.7)), generator.synthesize(latent))
    about = describe(tmp_path / "saved.safetensors")
    assert (about["architecture"], about["arguments"]) == ("painter", '{"width": 4}')
    for method, space in (("resefa", None), ("sefa", "z"), ("stylespace", "s"), ("ganspace", "z")):
        parameters = {"num_samples": 100} if method == "ganspace" else {}
        found = resefa.find_directions(
            generator, latent, REGION, method, num_directions=2, space=space, parameters=parameters
        )
        found.save(tmp_path / f"{method}.safetensors")
        read = resefa.Directions.load(tmp_path / f"{method}.safetensors")
        assert read.generator["architecture"] == "painter"
        assert read.matches(again)
        changed = resefa.edit(again, latent, read, {0: 2.0}, confine=1.0)
        assert not torch.equal(changed, generator.synthesize(latent))
    channels = resefa.find_directions(generator, latent, REGION, "stylespace", num_directions=8)
    assert bool((channels.vectors[:, 4:] == 0).all())  # layer 1's are none that StyleSpace ranks
    assert "center_80" in resefa.presets_of(generator)


def test_published_directions_of_an_architecture_are_known_by_their_files_names(
    painter: Painter, tmp_path: Path
) -> None:
    import numpy as np

    np.save(tmp_path / "painter_hat.npy", np.ones((1, 4), np.float32))
    directions = resefa.Directions.from_npy(tmp_path / "painter_hat.npy")
    assert (directions.layers, directions.generator["architecture"]) == ((1,), "painter")


def test_a_name_that_is_taken_is_refused(painter: Painter, odd: str) -> None:
    class Impostor(Painter):
        pass

    with pytest.raises(resefa.ParameterError, match="'painter' is there already: Painter"):
        resefa.register_generator(Impostor)
    with pytest.raises(resefa.ParameterError, match="space 'w' is there already"):
        resefa.register_space(Space("w"))
    with pytest.raises(resefa.CheckpointError, match="Impostor can't be saved"):
        Impostor(2).save("never.safetensors")


def test_readers_are_asked_in_a_fixed_order_and_those_of_other_packages_last(painter: Painter) -> None:
    order = [reader.read.__module__.rpartition(".")[2] for reader in READERS]
    assert order == [
        "nvidia_safetensors",
        "nvidia_pickle",
        "stylegan1",
        "tensorflow_pickle",
        "rosinality",
        "genforce",
        "lucidrains",
        "fastgan",
        "lightweight_gan",
        "biggan_deep",
        "biggan",
        "pggan",
        "dcgan",
        "test_other_packages",
    ]


def test_a_space_is_analysed_searched_moved_and_saved(odd: str, tmp_path: Path) -> None:
    generator = tiny_stylegan2(16)
    generator.spaces = ("w+", "w", "s", "z", odd)
    latent = generator.sample(1)
    jacobian = resefa.compute_jacobian(generator, latent, odd)
    whole = resefa.compute_jacobian(generator, latent, "w")
    torch.testing.assert_close(jacobian.formed().matrix, whole.formed().matrix[1::2])
    found = resefa.factorize(jacobian, REGION, num_directions=2)
    assert found.vectors.shape == (2, 4)
    found.save(tmp_path / "odd.safetensors")
    read = resefa.Directions.load(tmp_path / "odd.safetensors")
    moved = resefa.move(latent, read, {0: 1.0}).codes - latent.codes
    assert bool((moved[..., ::2] == 0).all())
    torch.testing.assert_close(moved[0, 2, 1::2], float(read.steps[0]) * read.vectors[0])
    jacobian.save(tmp_path / "jacobian.safetensors")
    assert resefa.load_jacobian(tmp_path / "jacobian.safetensors").space == odd
    for method, parameters in (("resefa", {}), ("resefa-confined", {}), ("lowrankgan", {"lambda": 1.0})):
        found = resefa.find_directions(generator, latent, REGION, method, space=odd, parameters=parameters)
        assert found.space == odd
    with pytest.raises(resefa.ParameterError, match="isn't defined in the space odd"):
        resefa.find_directions(generator, latent, REGION, "sefa", space=odd)
    assert quick_space(generator) == "w"


@pytest.mark.parametrize("name", ["w", "w+", "s", "z"])
def test_a_spaces_offsets_move_the_styles_as_its_parts_say(name: str) -> None:
    """Both halves of a description agree: what `move` adds, and what the analysis differentiates."""
    generator = tiny_stylegan2(16).double()
    latent = generator.sample(2, 0.7)
    layers = tuple(range(generator.num_layers))
    space = latent_space(generator, latent, name)
    step = 1e-6
    vector = torch.randn(space.dimension, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    parts = SPACES[name].offsets(
        step * vector.reshape(space.shape), latent, layers, generator.layer_sizes, has_mapping=True
    )
    deltas = generator.style_deltas(latent, *parts)
    for layer, expected in space.lift(vector[None]).items():
        torch.testing.assert_close(deltas[layer] / step, expected, rtol=1e-4, atol=1e-6)
