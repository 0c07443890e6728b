"""Generators in PyTorch's manners: called, saved, loaded by path, name or address, and shown in a line."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hub_server import Handler, HubServer, Repo
from models import tiny_stylegan2, tiny_stylegan3
from older_gans import save_deep, tiny_biggan, tiny_dcgan, tiny_deep, tiny_pggan

import resefa_core as resefa
from resefa_core.checkpoints.downloads import catalogue

MAKE: dict[str, Callable[[], resefa.Generator]] = {
    "stylegan2": lambda: tiny_stylegan2(16),
    "stylegan2 with classes": lambda: tiny_stylegan2(16, c_dim=3),
    "stylegan3": tiny_stylegan3,
    "biggan-deep": tiny_deep,
    "biggan": tiny_biggan,
    "biggan with one code": lambda: tiny_biggan(False, 0),
    "dcgan": tiny_dcgan,
    "dcgan in grey": lambda: tiny_dcgan(True),
    "pggan": tiny_pggan,
    "pggan, fused": lambda: tiny_pggan(True),
}


def assert_same(first: resefa.Generator, second: resefa.Generator) -> None:
    assert type(first) is type(second)
    assert first.fingerprint == second.fingerprint
    theirs = second.state_dict()
    assert first.state_dict().keys() == theirs.keys()
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in first.state_dict().items())
    label = 1 if first.num_classes else None
    images = [generator.synthesize(generator.sample(5, 0.5, label)) for generator in (first, second)]
    assert torch.equal(*images)


@pytest.mark.parametrize("name", MAKE)
def test_a_saved_generator_comes_back_to_the_bit(name: str, tmp_path: Path) -> None:
    generator = MAKE[name]()
    generator.author, generator.license = "Ada\n", "CC BY 4.0"
    generator.save(tmp_path / "own.safetensors")
    saved = resefa.load_generator(tmp_path / "own.safetensors")
    assert_same(generator, saved)
    assert (saved.author, saved.license) == ("Ada\\n", "CC BY 4.0")
    resefa.convert(tmp_path / "own.safetensors", tmp_path / "again.safetensors")
    assert resefa.load_generator(tmp_path / "again.safetensors").author == "Ada\\n"
    with pytest.raises(resefa.CheckpointError, match="exists"):
        generator.save(tmp_path / "own.safetensors")
    generator.half().save(tmp_path / "own.safetensors", overwrite=True)
    half = resefa.load_generator(tmp_path / "own.safetensors", dtype=torch.float16)
    assert half.dtype == torch.float16
    assert half.fingerprint == generator.fingerprint


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module."])
@pytest.mark.parametrize("name", [name for name in MAKE if name != "stylegan3"])
def test_state_dicts_are_read_as_torch_saves_them(name: str, prefix: str, tmp_path: Path) -> None:
    generator = MAKE[name]()
    torch.save({prefix + key: value for key, value in generator.state_dict().items()}, tmp_path / "own.pth")
    assert_same(generator, resefa.load_generator(tmp_path / "own.pth"))


@pytest.mark.parametrize(("kernel", "channels"), [(3, 64), (1, 128)])
def test_a_state_dict_of_a_stylegan3_is_taken_to_be_of_a_published_configuration(
    kernel: int, channels: int, tmp_path: Path
) -> None:
    sizes = {"z_dim": 8, "w_dim": 8, "img_resolution": 16, "channel_base": channels, "channel_max": 4}
    generator = resefa.StyleGAN3(**sizes, conv_kernel=kernel, use_radial_filters=kernel == 1).eval()
    torch.save(generator.state_dict(), tmp_path / "own.pth")
    assert_same(generator, resefa.load_generator(tmp_path / "own.pth"))
    torch.save(tiny_stylegan3().state_dict(), tmp_path / "other.pth")
    with pytest.raises(resefa.CheckpointError, match="its tensors do not make a stylegan3"):
        resefa.load_generator(tmp_path / "other.pth")


def test_a_module_that_was_compiled_inside_is_read_too(tmp_path: Path) -> None:
    generator = tiny_stylegan2(16)
    state = {
        key.replace("synthesis.", "synthesis._orig_mod."): value
        for key, value in generator.state_dict().items()
    }
    torch.save(state, tmp_path / "own.pth")
    assert_same(generator, resefa.load_generator(tmp_path / "own.pth"))


def test_names_that_would_become_the_same_are_left_alone(tmp_path: Path) -> None:
    state = tiny_stylegan2(16).state_dict()
    state["_orig_mod.mapping.w_avg"] = torch.zeros(3)
    torch.save(state, tmp_path / "two.pth")
    with pytest.raises(resefa.CheckpointError, match="_orig_mod"):
        resefa.load_generator(tmp_path / "two.pth")


def test_calling_a_generator_draws_or_says_what_to_call() -> None:
    generator = tiny_stylegan2(16)
    latent = generator.sample([1, 2])
    assert latent.z is not None
    images = generator(latent)
    assert torch.equal(images, generator.synthesize(latent))
    noise = latent.z.clone().requires_grad_(True)
    drawn = generator(noise)
    torch.testing.assert_close(drawn, images)
    drawn.sum().backward()
    assert noise.grad is not None
    assert bool(noise.grad.any())
    for wrong in ((torch.zeros(2, 9),), (torch.zeros(2, 6, 8),), (7,), (), (latent, latent)):
        with pytest.raises(resefa.LatentError, match=r"noise of shape \(B, 10\).*generator.sample\(seed=0"):
            generator(*wrong)
    with pytest.raises(resefa.LatentError, match=r"called with one Latent: draw one .*label=0"):
        tiny_deep()(torch.zeros(1, 6))


def test_a_wrapped_function_can_not_be_saved(tmp_path: Path) -> None:
    custom = resefa.WrappedGenerator(lambda z: z.reshape(-1, 3, 1, 1).tanh().expand(-1, 3, 8, 8), 3)
    with pytest.raises(resefa.CheckpointError, match="WrappedGenerator can't be saved"):
        custom.save(tmp_path / "custom.safetensors")
    assert not list(tmp_path.iterdir())


def test_the_type_of_the_numbers_is_chosen_when_loading() -> None:
    for dtype in (torch.float32, torch.float16, torch.bfloat16, torch.float64):
        assert resefa.load_generator("avatars", dtype=dtype).dtype == dtype
    with pytest.raises(resefa.ParameterError, match=r"dtype torch.int64 is not a floating type"):
        resefa.load_generator("avatars", dtype=torch.int64)


def test_a_name_of_the_catalogue_is_its_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    entry = catalogue()["stylegan3-t-ffhqu-256x256"]
    with pytest.raises(resefa.CheckpointError, match=f"not downloaded.*resefa download {entry.name}"):
        resefa.load_generator(entry.name)
    generator = tiny_stylegan2(16)
    generator.save(entry.file)
    assert_same(generator, resefa.load_generator(entry.name))


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):  # type: ignore[no-untyped-def]
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    with HubServer() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)

        def of_its_commit(handler: Handler) -> bool:
            handler.route = handler.route.replace(f"/resolve/{1:040x}/", "/resolve/main/")
            return False

        server.intercept = of_its_commit
        yield server


def test_a_repository_of_the_hub_is_loaded(hub: HubServer, tmp_path: Path) -> None:
    generator = tiny_stylegan2(16)
    generator.save(tmp_path / "faces.safetensors")
    repo = hub.repos["ada/faces"] = Repo()
    repo.files["README.md"] = b"# Faces"
    repo.files["weights/faces.safetensors"] = (tmp_path / "faces.safetensors").read_bytes()
    assert_same(generator, resefa.load_generator("hf://ada/faces"))
    assert_same(generator, resefa.load_generator("hf://ada/faces/weights/faces.safetensors"))
    repo.files["other.pkl"] = b"x"
    with pytest.raises(resefa.CheckpointError, match=r"which of the repository's files.*other\.pkl"):
        resefa.load_generator("hf://ada/faces")
    with pytest.raises(resefa.CheckpointError, match="no such file"):
        resefa.load_generator("hf://ada/faces/none.pt")
    with pytest.raises(resefa.ReSeFaError):
        resefa.load_generator("hf://ada/nothing")
    for address in ("hf://ada", "hf://ada/../x", "hf://a/b/../../c", "hf://", "hf://a b/c"):
        with pytest.raises(resefa.CheckpointError, match="expected hf://owner/name"):
            resefa.load_generator(address)


def test_a_repository_of_a_folder_with_its_configuration_is_loaded(hub: HubServer, tmp_path: Path) -> None:
    generator = tiny_deep()
    folder = save_deep(tmp_path / "deep", generator)
    repo = hub.repos["ada/deep"] = Repo()
    repo.files |= {file.name: file.read_bytes() for file in folder.iterdir()}
    assert resefa.load_generator("hf://ada/deep").fingerprint == resefa.load_generator(folder).fingerprint


def test_without_the_hubs_library_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(resefa.CheckpointError, match=r'pip install "resefa\[hub\]"'):
        resefa.load_generator("hf://ada/faces")


def test_what_is_shown_of_an_object_is_a_line() -> None:
    generator = tiny_stylegan2(16)
    latent = generator.sample([1, 2, 3, 4], 0.7)
    region = resefa.Region.from_box(0.1, 0.2, 0.3, 0.4)
    jacobian = resefa.compute_jacobian(generator, latent[0], "w")
    assert repr(generator) == "StyleGAN2(stylegan2, 16 x 16, codes (6, 8), spaces w+, w, s, z)"
    assert repr(latent) == "Latent((4, 6, 8), seed 1, 2, 3, ..., truncation 0.7)"
    assert repr(region) == "Region(0.1,0.2,0.3,0.4)"
    assert repr(resefa.Region.from_mask(torch.eye(8))) == "Region(painted)"
    assert repr(jacobian) == (
        "Jacobian(dense, of stylegan2 in w, 8 columns, image 16 x 16, layers [0, 1, 2, 3, 4, 5])"
    )
    assert repr(resefa.factorize(jacobian, region, num_directions=4)) == (
        "Directions(4 in w, vectors (4, 8), direction 0, direction 1, direction 2, ...; layers "
        "[0, 1, 2, 3, 4, 5], by resefa)"
    )
