"""Numbers of any size, wherever a file, a graph or a person gives them, and images that are not finite."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from dcgan import DATA
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file

import resefa_core as resefa
from resefa_core.bounds import CHANGE, CODE, STEP, STRENGTH, check_image, number, shown, whole
from resefa_core.cli import main

HUGE: list[Any] = [10**400, 10**5000, -(10**400), 3e38, math.inf, -math.inf, math.nan]
NO_NUMBERS: list[Any] = [None, "1", "x" * 10_000, [1.0], {}, True, 1j, torch.ones(2)]
STEPS = DATA / "hostile" / "dir_steps_big.safetensors"


def directions(generator: resefa.Generator, **changes: Any) -> resefa.Directions:
    vectors = torch.eye(2, generator.latent_dim)
    return replace(resefa.Directions.from_vectors(vectors, "w", generator), **changes)


def content(file: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """A file's tensors and metadata, without the tensors' hash."""
    with safe_open(file, "pt") as opened:
        metadata = {key: text for key, text in opened.metadata().items() if "sha256" not in key}
        return {name: opened.get_tensor(name) for name in opened.keys()}, metadata  # noqa: SIM118


CALLS: dict[str, Callable[[resefa.Generator, Any], object]] = {
    "strength": lambda g, x: resefa.move(g.sample(1), directions(g), {0: x}),
    "confine": lambda g, x: resefa.move(
        g.sample(1), directions(g), {0: 1.0}, confine=2.0 if x is None else x
    ),
    "amount": lambda g, x: resefa.mix(g, g.sample(1), g.sample(2), [x] if isinstance(x, list) else x),
    "amounts": lambda g, x: resefa.mix(g, g.sample([1, 3]), g.sample(2), [0.5, x]),
    "feather": lambda g, x: resefa.Region.from_box(0.1, 0.1, 0.2, 0.2).feather(x),
    "x": lambda g, x: resefa.Region.from_box(x, 0.1, 0.2, 0.2),
    "width": lambda g, x: resefa.Region.from_box(0.1, 0.1, x, 0.2),
    "box in JSON": lambda g, x: resefa.Region.from_json({"box": [0.1, 0.1, 0.2, x]}),
    "feather in JSON": lambda g, x: resefa.Region.from_json(
        {"feather": x, "of": {"box": [0.1, 0.1, 0.2, 0.2]}}
    ),
    "seed": lambda g, x: g.draw([x]),
    "truncation": lambda g, x: g.sample(1, truncation=x),
    "latent's truncation": lambda g, x: replace(g.sample(1), truncation=x),
    "truncation_layers": lambda g, x: replace(g.sample(1), truncation_layers=-1 if x is None else x),
    "regularization": lambda g, x: directions(g, regularization=x),
    "damping": lambda g, x: directions(g, damping=x),
    "directions' truncation": lambda g, x: directions(g, truncation=x),
    "strength_range": lambda g, x: directions(g, strength_range=(-1.0, x)),
    "num_samples": lambda g, x: directions(g, num_samples=x),
    "directions' seeds": lambda g, x: directions(g, seeds=(x,)),
    "move in an edit": lambda g, x: resefa.Move(directions(g), {0: x}),
    "count": lambda g, x: resefa.find_directions(
        g, [g.sample(1)], resefa.Region.preset("mouth"), num_directions=x
    ),
    "parameter": lambda g, x: resefa.find_directions(
        g, [g.sample(1)], resefa.Region.preset("mouth"), parameters={"regularization": x}
    ),
}


@pytest.mark.parametrize("value", [*HUGE, *NO_NUMBERS], ids=shown)
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_numbers_of_any_size_are_refused_in_words(
    avatars: resefa.Generator, call: Callable[[resefa.Generator, Any], object], value: object
) -> None:
    with pytest.raises(resefa.ReSeFaError) as caught:
        call(avatars, value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("value", [*HUGE, *NO_NUMBERS, -1.5, 2.5], ids=shown)
def test_a_number_is_in_its_range_or_refused(value: object) -> None:
    with pytest.raises(resefa.ParameterError, match=r"^width "):
        number(value, "width", -1.0, 2.0)
    with pytest.raises(resefa.ParameterError, match=r"^width "):
        whole(value, "width", -1, 2)
    assert [number(x, "width", -1.0, 2.0) for x in (-1, 0.5, 2)] == [-1.0, 0.5, 2.0]


TENSORS = {
    "steps": 2 * STEP.most,
    "steps_confined": 2 * STEP.most,
    "eigenvalues": 2 * CHANGE.most,
    "inside": 3e38,
    "outside": 3e38,
    "base_codes": 2 * CODE.most,
}


@pytest.mark.parametrize(("name", "value"), TENSORS.items(), ids=TENSORS)
def test_a_direction_file_holds_no_number_of_any_size(
    name: str, value: float, avatars: resefa.Generator, tmp_path: Path
) -> None:
    region = resefa.Region.preset("mouth")
    codes = avatars.sample(1).codes[0]
    whole_set = directions(avatars, region=region, steps_confined=torch.ones(2), base_codes=codes)
    file = tmp_path / "good.safetensors"
    whole_set.save(file)
    tensors, metadata = content(file)
    tensors[name].view(-1)[0] = value
    save_file(tensors, tmp_path / "bad.safetensors", metadata)
    with pytest.raises(resefa.DirectionFileError, match=f"{name} has values from"):
        resefa.Directions.load(tmp_path / "bad.safetensors")
    tensors[name].view(-1)[0] = value / 2 if name in ("steps", "steps_confined", "base_codes") else 1e29
    save_file(tensors, tmp_path / "large.safetensors", metadata)
    assert len(resefa.Directions.load(tmp_path / "large.safetensors")) == 2


@pytest.mark.parametrize("key", ["regularization", "damping", "truncation", "strength_range", "seeds"])
def test_a_direction_files_texts_hold_no_number_of_any_size(
    key: str, avatars: resefa.Generator, tmp_path: Path
) -> None:
    directions(avatars).save(tmp_path / "good.safetensors")
    tensors, metadata = content(tmp_path / "good.safetensors")
    for number_, text in enumerate(["1" * 400, "1" * 5000, "1e38", "1e999", "NaN", "null", '"1"']):
        listed = f"[{text}, {text}]" if key in ("strength_range", "seeds") else text
        file = tmp_path / f"{number_}.safetensors"
        save_file(tensors, file, {**metadata, f"resefa.{key}": listed})
        with pytest.raises(resefa.DirectionFileError):
            resefa.Directions.load(file)


@pytest.mark.parametrize("value", [2 * CODE.most, 3e38])
@pytest.mark.parametrize("name", ["codes", "z", "style_offset"])
def test_a_latent_file_holds_no_number_of_any_size(
    name: str, value: float, avatars: resefa.Generator, tmp_path: Path
) -> None:
    latent = replace(avatars.sample(1), style_offset=torch.zeros(1, sum(avatars.layer_sizes)))
    latent.save(tmp_path / "good.safetensors")
    tensors, metadata = content(tmp_path / "good.safetensors")
    tensors[name].view(-1)[0] = value
    save_file(tensors, tmp_path / "bad.safetensors", metadata)
    with pytest.raises(resefa.LatentError, match=f"{name} has values from"):
        resefa.Latent.load(tmp_path / "bad.safetensors")
    getattr(latent, name).view(-1)[0] = value
    with pytest.raises(resefa.LatentError, match=f"{name} has values from"):
        latent.save(tmp_path / "written.safetensors")
    assert not (tmp_path / "written.safetensors").exists()


def test_codes_of_other_programs_hold_no_number_of_any_size(tmp_path: Path) -> None:
    torch.save(torch.full((18, 512), 1e30), tmp_path / "codes.pt")
    with pytest.raises(resefa.LatentError, match="the codes has values from"):
        resefa.Latent.load(tmp_path / "codes.pt")


def test_images_that_are_not_finite_are_refused(avatars: resefa.Generator, tmp_path: Path) -> None:
    for bad in (math.nan, math.inf, -math.inf):
        image = torch.zeros(3, 4, 4)
        image[1, 2, 3] = bad
        for refuse in (check_image, resefa.to_pil, lambda image: resefa.contact_sheet([[image]])):
            with pytest.raises(resefa.LatentError, match=r"not finite.* use smaller strengths"):
                refuse(image)
    latent = avatars.sample(1)
    far = replace(latent, codes=latent.codes * 1e38)
    with pytest.raises(resefa.LatentError, match="not finite"):
        avatars.synthesize(far)
    assert not bool(avatars.synthesize(far, check_finite=False).isfinite().all())
    assert bool(avatars.synthesize(latent).isfinite().all())


def test_the_largest_numbers_that_are_accepted_lead_to_an_image(
    avatars: resefa.Generator, tmp_path: Path
) -> None:
    file, output = tmp_path / "far.safetensors", tmp_path / "edited.png"
    directions(avatars, steps=torch.full((2,), STEP.most)).save(file)
    assert main(["edit", str(file), "--move", f"0={STRENGTH.most:g}", "-o", str(output)]) == 0
    assert Image.open(output).size == (avatars.resolution, avatars.resolution)


def test_an_image_that_is_not_finite_is_refused_by_the_command(
    avatars: resefa.Generator,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    output = tmp_path / "face.png"
    finish = resefa.StyleGAN2.finish
    monkeypatch.setattr(resefa.StyleGAN2, "finish", lambda *given: finish(*given) * math.inf)
    assert main(["generate", "--seeds", "1", "-o", str(output)]) == 1
    assert "not finite" in capsys.readouterr().err
    assert not output.exists()


@pytest.mark.skipif(not STEPS.exists(), reason="the shared data are not there")
def test_steps_of_any_size_are_refused_by_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "edited.png"
    assert main(["edit", str(STEPS), "--move", "0=1", "-o", str(output)]) == 1
    assert "steps has values from" in capsys.readouterr().err
    assert not output.exists()


def test_numbers_of_400_digits_in_json_are_refused(avatars: resefa.Generator) -> None:
    data = resefa.Edit((resefa.Move(directions(avatars), {0: 1.0}),)).to_json(embed=True)
    text = json.dumps(data).replace('"0": 1.0', f'"0": {"1" * 400}')
    assert "1" * 400 in text
    with pytest.raises(resefa.ReSeFaError, match="strength of about 399 digits"):
        resefa.Edit.from_json(json.loads(text))
