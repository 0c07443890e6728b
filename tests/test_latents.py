from __future__ import annotations

import pickle
import zipfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from models import double, tiny_stylegan2, tiny_stylegan3
from PIL import Image

import resefa_core as resefa
from resefa_core import Generator, Latent, LatentError, Region
from resefa_core.generators.mapping import MappedGenerator
from resefa_core.latents import ConfinedMove, draw_noise


def painted() -> Region:
    mask = torch.zeros(256, 256)
    mask[30:80, 40:200] = 1.0
    return Region.from_mask(mask)


def make(generator: Generator) -> Latent:
    """Two latents with every field in use."""
    drawn = generator.sample([3, 4], truncation=0.7, truncation_layers=2)
    assert drawn.z is not None
    noise = torch.Generator().manual_seed(0)
    styles = torch.randn(2, sum(generator.layer_sizes), generator=noise)
    return replace(
        drawn,
        style_offset=0.1 * styles,
        z_offset=0.1 * torch.randn(drawn.z.shape, generator=noise),
        confined=(
            ConfinedMove(Region.from_box(0.25, 0.5, 0.5, 0.25), 1.0, codes=0.1 * drawn.codes),
            ConfinedMove(painted().feather(0.02), 0.5, styles=0.2 * styles, z=0.1 * drawn.z),
        ),
    )


def assert_same(found: Latent, expected: Latent) -> None:
    tensors, wanted = found._tensors(), expected._tensors()
    assert tensors.keys() == wanted.keys()
    for name in wanted:
        assert torch.equal(tensors[name], wanted[name]), name
    for field in ("seed", "truncation", "truncation_layers", "generator"):
        assert getattr(found, field) == getattr(expected, field), field


def test_seeds_draw_what_nvidias_tools_draw() -> None:
    expected = torch.tensor(
        [[1.7640524, 0.4001572, 0.9787380, 2.2408931], [1.6905257, -0.4659374, 0.0328202, 0.4075163]]
    )
    torch.testing.assert_close(draw_noise([0, 7], 4), expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(draw_noise([2**32 - 1], 2), draw_noise([2**32 - 1], 2))


def test_a_batch_holds_what_each_seed_gives_alone(avatars: Generator) -> None:
    batch = avatars.sample([5, 6, 7], truncation=0.8)
    assert len(batch) == 3
    assert batch.codes.shape == (3, avatars.num_layers, avatars.latent_dim)
    assert batch.seed == (5, 6, 7)
    for index, seed in enumerate((5, 6, 7)):
        alone = avatars.sample(seed, truncation=0.8)
        assert alone.seed == (seed,)
        torch.testing.assert_close(batch.codes[index : index + 1], alone.codes)


def mapped_exactly(generator: MappedGenerator, seed: int, label: int | None) -> np.ndarray:
    """The w of a seed, `(D,)`, from the definition, in numpy's widest floating point."""
    network = generator.mapping

    def layer(name: str, x: np.ndarray) -> np.ndarray:
        module = network.get_submodule(name)
        weight, bias = (tensor.detach().numpy().astype(np.longdouble) for tensor in module.parameters())
        return (weight * module.weight_gain * x).sum(axis=1) + bias * module.bias_gain

    def normalized(x: np.ndarray) -> np.ndarray:
        return x / np.sqrt((x * x).mean() + np.longdouble(1e-8))

    x = normalized(draw_noise([seed], generator.z_dim)[0].numpy().astype(np.longdouble))
    if label is not None:
        one_hot = np.eye(generator.num_classes, dtype=np.longdouble)[label]
        x = np.concatenate([x, normalized(layer("embed", one_hot))])
    for index in range(network.num_layers):
        x = layer(f"fc{index}", x)
        x = np.where(x < 0, np.longdouble(0.2) * x, x) * np.sqrt(np.longdouble(2))
    return x.astype(np.float32)


@pytest.mark.parametrize(
    "make", [None, partial(tiny_stylegan2, c_dim=3), tiny_stylegan3, partial(tiny_stylegan3, c_dim=3)]
)
def test_a_seed_names_the_same_codes_whatever_the_batch_and_the_processor(
    make: Callable[[], MappedGenerator] | None, avatars: MappedGenerator
) -> None:
    """Sums in float64 leave codes that differ from the exact ones by their rounding to float32 alone: by half
    a unit in the last place of a code, or one where it lies between two. Where terms of a sum cancel, what is
    left has the error of the terms: a unit of the largest code bounds that too."""
    generator = avatars if make is None else make()
    seeds = list(range(40))
    labels = [seed % 3 for seed in seeds] if generator.num_classes else None
    expected = torch.from_numpy(
        np.stack([mapped_exactly(generator, seed, labels and labels[seed]) for seed in seeds])
    )
    unit = torch.finfo(torch.float32).eps
    bounds = {"rtol": unit, "atol": unit * float(expected.abs().max())}
    for size in (1, 2, 3, 7, 40):
        for start in range(0, len(seeds), size):
            chunk = slice(start, start + size)
            codes = generator.sample(seeds[chunk], label=labels and labels[chunk]).codes
            for layer in range(generator.num_layers):
                torch.testing.assert_close(codes[:, layer], expected[chunk], **bounds)


def test_codes_of_a_half_precision_generator_are_rounded_once() -> None:
    """Its noise and weights are float16 numbers, of which the codes are computed in float64."""
    generator = tiny_stylegan2().half()
    codes = generator.sample([1, 2, 3]).codes
    assert codes.dtype == torch.float16
    twin = double(generator)
    noise = generator.draw([1, 2, 3]).half().double()
    assert torch.equal(codes, twin.map(noise).half())


def test_truncation_pulls_the_first_layers_to_the_mean(avatars: Generator) -> None:
    whole = avatars.sample(1).codes[0]
    mean = avatars.mean_codes()
    torch.testing.assert_close(avatars.sample(1, truncation=0.0).codes[0], mean)
    torch.testing.assert_close(avatars.sample(1, truncation=0.7).codes[0], mean + 0.7 * (whole - mean))
    some = avatars.sample(1, truncation=0.7, truncation_layers=2)
    torch.testing.assert_close(some.codes[0, :2], (mean + 0.7 * (whole - mean))[:2])
    torch.testing.assert_close(some.codes[0, 2:], whole[2:])
    assert (some.truncation, some.truncation_layers) == (0.7, 2)


@pytest.mark.parametrize("seed", [-1, 2**32, []])
def test_seeds_that_numpy_has_not_are_refused(seed: int | list[int], avatars: Generator) -> None:
    with pytest.raises(LatentError, match="seed"):
        avatars.sample(seed)


@pytest.mark.parametrize("seed", [0.5, True, "1", None])
def test_seeds_that_are_no_whole_numbers_are_refused(seed: object) -> None:
    with pytest.raises(LatentError, match="whole number"):
        draw_noise([seed], 4)  # type: ignore[list-item]


@pytest.mark.parametrize("truncation", [2.5, float("nan"), float("inf")])
def test_truncations_out_of_range_are_refused(truncation: float, avatars: Generator) -> None:
    with pytest.raises(LatentError, match="truncation"):
        avatars.sample(0, truncation=truncation)
    with pytest.raises(LatentError, match="truncation_layers"):
        avatars.sample(0, truncation_layers=avatars.num_layers + 1)


def test_every_field_comes_back_from_a_file(avatars: Generator, tmp_path: Path) -> None:
    latent = make(avatars)
    latent.save(tmp_path / "l.safetensors")
    found = Latent.load(tmp_path / "l.safetensors")
    assert_same(found, latent)
    for move, expected in zip(found.confined, latent.confined, strict=True):
        assert move.confine == expected.confine
        mask = expected.region.mask(256, 256)
        torch.testing.assert_close(move.region.mask(256, 256), mask, atol=1 / 255, rtol=0)
    images, wanted = avatars.synthesize(found), avatars.synthesize(latent)
    torch.testing.assert_close(images, wanted, atol=0.02, rtol=0)


def test_a_class_comes_back_from_a_file(tmp_path: Path) -> None:
    latent = tiny_stylegan2(8, c_dim=3).sample([1, 2], label=[0, 2])
    latent.save(tmp_path / "l.safetensors")
    assert_same(Latent.load(tmp_path / "l.safetensors"), latent)


def test_codes_that_are_the_noise_itself_can_be_saved(tmp_path: Path) -> None:
    z = torch.randn(2, 4)
    latent = Latent(codes=z[:, None], z=z)
    latent.save(tmp_path / "l.safetensors")
    assert_same(Latent.load(tmp_path / "l.safetensors"), latent)


def test_saving_never_replaces_a_file_unasked(avatars: Generator, tmp_path: Path) -> None:
    file = tmp_path / "l.safetensors"
    avatars.sample(1).save(file)
    before = file.read_bytes()
    with pytest.raises(LatentError, match="exists"):
        avatars.sample(2).save(file)
    assert file.read_bytes() == before
    avatars.sample(2).save(file, overwrite=True)
    assert Latent.load(file).seed == (2,)
    assert list(tmp_path.iterdir()) == [file]


def test_a_latent_that_could_not_be_read_again_is_not_written(avatars: Generator, tmp_path: Path) -> None:
    latent = avatars.sample(1)
    move = ConfinedMove(Region.from_box(0, 0, 0.5, 1), 1.0, codes=latent.codes)
    for wrong in (
        Latent(torch.full((1, 2, 3), torch.nan)),
        Latent(torch.zeros(1, 1, 17 << 20)),
        replace(latent, confined=(move,) * 65),
    ):
        with pytest.raises(LatentError):
            wrong.save(tmp_path / "l.safetensors")
    assert list(tmp_path.iterdir()) == []


CODES = torch.randn(2, 6, 8, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("codes", [CODES, CODES[0], CODES[0, :1], CODES[0, 0], CODES[:, :1]])
@pytest.mark.parametrize("kind", [".npz", ".npy", ".pt", ".pth", "w", "latent", "codes"])
def test_codes_of_projectors_are_imported(codes: torch.Tensor, kind: str, tmp_path: Path) -> None:
    file = tmp_path / f"projected{kind if kind.startswith('.') else '.pt'}"
    if kind == ".npz":
        np.savez_compressed(file, w=codes.numpy())
    elif kind == ".npy":
        np.save(file, codes.double().numpy())
    else:
        torch.save(codes if kind.startswith(".") else {kind: codes, "other": 1}, file)
    found = Latent.load(file)
    expected = codes[None, None] if codes.ndim == 1 else codes[None] if codes.ndim == 2 else codes
    assert torch.equal(found.codes, expected)
    assert found.codes.dtype == torch.float32
    layers = 1 if codes.ndim == 1 else codes.shape[-2]
    assert found.expand(6).codes.shape == (expected.shape[0], 6, 8)
    assert torch.equal(found.expand(6).codes[:, -1], found.codes[:, -1])
    assert found.codes.shape[1] == layers


class Attack:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, (str(self.target), "w")


@pytest.mark.parametrize("form", ["zip", "legacy", "pickle"])
def test_a_malicious_pt_file_is_refused_and_runs_nothing(form: str, tmp_path: Path) -> None:
    file, trace = tmp_path / "l.pt", tmp_path / "trace"
    if form == "pickle":
        file.write_bytes(pickle.dumps(Attack(trace)))
    else:
        torch.save({"w": Attack(trace)}, file, _use_new_zipfile_serialization=form == "zip")
    with pytest.raises(LatentError):
        Latent.load(file)
    assert not trace.exists()


@pytest.mark.parametrize(
    "content",
    [
        [1.0, 2.0],
        {"other": torch.ones(3)},
        {"w": [1.0]},
        torch.ones(3, dtype=torch.int64),
        torch.ones(0, 8),
        torch.ones(1, 1, 1, 8),
        torch.full((8,), torch.inf),
        torch.full((8,), 1e300, dtype=torch.float64),
        torch.ones(2, 2).to_sparse(),
        torch.ones(1).expand(1 << 20, 1 << 20),
        torch.ones(8, device="meta"),
    ],
    ids=lambda content: str(type(content).__name__),
)
def test_pt_files_of_anything_else_are_refused(content: object, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "l.pt")
    with pytest.raises(LatentError):
        Latent.load(tmp_path / "l.pt")


def test_archives_that_unpack_to_very_much_are_refused(tmp_path: Path) -> None:
    for name in ("l.npz", "l.pt"):
        with zipfile.ZipFile(tmp_path / name, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("w.npy", bytes(65 << 20))
        assert (tmp_path / name).stat().st_size < 1 << 20
        with pytest.raises(LatentError, match="unpacks to over 64 MB"):
            Latent.load(tmp_path / name)


def test_an_npz_file_needs_an_array_named_w(tmp_path: Path) -> None:
    np.savez(tmp_path / "l.npz", v=np.ones(3))
    with pytest.raises(LatentError, match=r"named 'w', found \['v.npy'\]"):
        Latent.load(tmp_path / "l.npz")


def test_latents_are_chosen_by_index_and_slice(avatars: Generator) -> None:
    latent = make(avatars)
    for index, expected in ((1, [1]), (-2, [0]), (slice(1, None), [1]), (slice(None, None, -1), [1, 0])):
        chosen = latent[index]
        assert len(chosen) == len(expected)
        assert chosen.seed == tuple((3, 4)[i] for i in expected)
        for name, tensor in chosen._tensors().items():
            assert torch.equal(tensor, latent._tensors()[name][expected])
    assert len([each for each in latent]) == 2  # noqa: C416
    with pytest.raises(IndexError):
        latent[2]


def test_stacked_latents_are_what_one_batch_would_be(avatars: Generator) -> None:
    batch = avatars.sample([1, 2, 3], truncation=0.7)
    stacked = resefa.stack([batch[0], batch[1:]])
    assert_same(stacked, batch)
    unknown = replace(batch[0], seed=None)
    assert resefa.stack([batch[0], unknown]).seed is None


def test_latents_of_different_kinds_cannot_be_stacked(avatars: Generator) -> None:
    first = avatars.sample(1)
    assert first.z is not None
    moved = replace(first, z_offset=torch.ones_like(first.z))
    confined = replace(first, confined=(ConfinedMove(Region.from_box(0, 0, 0.5, 1), 1.0, codes=first.codes),))
    others = [
        moved,
        confined,
        replace(first, z=None),
        avatars.sample(1, truncation=0.5),
        Latent(first.codes),
        Latent(first.codes[:, :1]),
    ]
    for other in others:
        for pair in ([first, other], [other, first]):
            with pytest.raises(LatentError, match="can't be stacked"):
                resefa.stack(pair)
    with pytest.raises(LatentError, match="no latents"):
        resefa.stack([])


@pytest.mark.parametrize(
    "changes",
    [
        {"codes": torch.ones(2, 3)},
        {"codes": torch.ones(0, 3, 4)},
        {"codes": torch.ones(2, 3, 4, dtype=torch.int64)},
        {"z": torch.ones(3, 4)},
        {"z": torch.ones(2)},
        {"z": torch.tensor(1.0)},
        {"z": torch.ones(2, 4), "z_offset": torch.ones(2, 5)},
        {"label": torch.ones(2)},
        {"seed": (1,)},
        {"seed": (1, -1)},
        {"seed": ("1", "2")},
        {"truncation": float("nan")},
        {"truncation": "1"},
        {"truncation_layers": -1},
        {"truncation_layers": 1.5},
        {"generator": 3},
        {"confined": (ConfinedMove(Region.from_box(0, 0, 0.5, 1), 1.0, codes=torch.ones(2, 1, 4)),)},
    ],
    ids=lambda changes: "-".join(changes),
)
def test_latents_whose_parts_contradict_each_other_are_refused(changes: dict[str, object]) -> None:
    good = Latent(torch.ones(2, 3, 4))
    with pytest.raises(LatentError):
        replace(good, **changes)  # type: ignore[arg-type]


def test_a_png_carries_a_latent(tmp_path: Path) -> None:
    generator = tiny_stylegan2(16)
    latent = generator.sample(3, truncation=0.5)
    resefa.save_png(Image.new("RGB", (16, 16)), tmp_path / "a.png", texts={resefa.PNG_KEY: latent.to_text()})
    loaded = resefa.Latent.load(tmp_path / "a.png")
    torch.testing.assert_close(loaded.codes, latent.codes)
    assert loaded.seed == (3,)
    assert loaded.digest == latent.digest


@pytest.mark.parametrize("text", ["", "%%%", "aGVsbG8=", "A" * 40, "é"])
def test_damaged_latents_in_pngs_are_refused(text: str, tmp_path: Path) -> None:
    resefa.save_png(Image.new("RGB", (4, 4)), tmp_path / "a.png", texts={resefa.PNG_KEY: text})
    with pytest.raises(resefa.LatentError):
        resefa.Latent.load(tmp_path / "a.png")


def test_pngs_without_a_latent_and_files_that_are_no_png_are_refused(tmp_path: Path) -> None:
    resefa.save_png(Image.new("RGB", (4, 4)), tmp_path / "a.png")
    with pytest.raises(resefa.LatentError, match="carries no latent"):
        resefa.Latent.load(tmp_path / "a.png")
    data = (tmp_path / "a.png").read_bytes()
    for index, damaged in enumerate((b"", data[:20], b"GIF89a" + data[6:], data[:33] + b"\xff" * 40)):
        file = tmp_path / f"damaged{index}.png"
        file.write_bytes(damaged)
        with pytest.raises(resefa.LatentError):
            resefa.Latent.load(file)


def test_a_latent_too_large_for_a_png_is_refused() -> None:
    with pytest.raises(resefa.LatentError, match="a PNG may hold"):
        resefa.Latent(codes=torch.zeros(1, 400, 512)).to_text()


def test_the_digest_tells_images_apart() -> None:
    generator = tiny_stylegan2(16)
    latent = generator.sample(3)
    assert latent.digest == generator.sample(3).digest
    assert latent.digest != generator.sample(4).digest
    assert latent.digest != generator.sample(3, truncation=0.5).digest
    assert latent.digest != replace(latent, z_offset=torch.ones(1, 10)).digest
