"""Own pictures in a real ComfyUI: found, edited, put back, kept and stopped."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from comfy_server import GENERATOR, ComfyUI, Prompt, graph, node, problem
from PIL import Image
from places import side

import resefa_core as resefa

BOX = (60, 30, 192, 192)


@pytest.fixture(scope="module")
def picture(comfyui: ComfyUI, avatars: resefa.Generator) -> np.ndarray:
    """A drawn face within a larger picture of noise, in the input folder as `photo.png`."""
    pixels = np.random.RandomState(1).randint(0, 256, (240, 320, 3), dtype=np.uint8)
    face = resefa.to_pil(avatars.synthesize(avatars.sample(77, 0.7))[0]).resize(BOX[2:])
    photo = Image.fromarray(pixels)
    photo.paste(face, BOX[:2])
    folder = comfyui.base / "input"
    folder.mkdir(exist_ok=True)
    photo.save(folder / "photo.png")
    return np.asarray(photo)


def own_picture(**changes: dict[str, Any]) -> Prompt:
    """Load Image, invert, select, factorize, apply, paste, save; `changes` of inputs by node."""
    prompt = graph()
    del prompt["sample"]
    prompt["photo"] = {"class_type": "LoadImage", "inputs": {"image": "photo.png"}}
    box = ",".join(map(str, BOX))
    prompt["invert"] = node(
        "InvertImage", gan=["load", 0], image=["photo", 0], steps=30, prior=0.003, face="", box=box
    )
    prompt["region"]["inputs"]["image"] = ["invert", 1]
    for name in ("factorize", "apply"):
        prompt[name]["inputs"]["latent"] = ["invert", 0]
    prompt["paste"] = node(
        "PasteEdit", gan=["load", 0], image=["photo", 0], latent=["apply", 0], fade=0.06, whole=False
    )
    prompt["save"] = node(
        "SaveGANImage", image=["paste", 0], latent=["apply", 0], filename_prefix="photos/edited"
    )
    for name, inputs in changes.items():
        prompt[name]["inputs"].update(inputs)
    return prompt


def saved(comfyui: ComfyUI, outputs: dict[str, Any]) -> Image.Image:
    return Image.open(comfyui.picture(outputs["save"]["images"][0]))


def test_an_edit_goes_back_into_the_picture(comfyui: ComfyUI, picture: np.ndarray) -> None:
    outputs = comfyui.run(own_picture(apply={"strength": 5.0}))
    assert "mean squared error" in outputs["invert"]["text"][0]
    assert "as much edge" in outputs["paste"]["text"][0]
    with saved(comfyui, outputs) as result:
        assert result.size == (320, 240)
        assert "generative model" in result.info["Comment"]
        assert "prompt" in result.info
        after = np.asarray(result)
    changed = (after != picture).any(axis=2)
    left, top, wide, high = BOX
    u = (np.arange(320)[None, :] + 0.5 - left) / wide
    v = (np.arange(240)[:, None] + 0.5 - top) / high
    slack = 0.06 + 1 / side(GENERATOR)
    ((x, y, width, height),) = resefa.PRESETS["avatars"]["mouth"]
    near = (u > x - slack) & (u < x + width + slack) & (v > y - slack) & (v < y + height + slack)
    assert changed[near].mean() > 0.3
    assert not changed[~near].any()

    whole = comfyui.run(own_picture(apply={"strength": 5.0}, paste={"whole": True}))
    with saved(comfyui, whole) as result:
        moved = (np.asarray(result) != picture).any(axis=2)
    assert moved[top : top + high, left : left + wide].mean() > 0.8
    assert not moved[: top - 1].any()


def test_an_interrupt_stops_the_search(comfyui: ComfyUI, picture: np.ndarray) -> None:
    prompt_id = comfyui.queue(own_picture(invert={"steps": 10_000}))
    while not comfyui.get("/queue")["queue_running"]:
        time.sleep(0.05)
    time.sleep(2.0)
    comfyui.post("/interrupt", {})
    done = comfyui.wait(prompt_id)
    assert "execution_interrupted" in [kind for kind, _ in done["status"]["messages"]]
    comfyui.run(own_picture())


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"invert": {"box": "1,2,3"}}, "box has 3 numbers"),
        ({"invert": {"face": "here"}}, "not a list of numbers"),
        ({"invert": {"box": "-900,0,10,10"}}, "beside the photo"),
        ({"invert": {"class_name": "cat"}}, "has no classes"),
        ({"paste": {"image": ["invert", 1]}}, "another photo"),
    ],
)
def test_what_goes_wrong_is_said_in_words(
    changes: dict[str, Any], says: str, comfyui: ComfyUI, picture: np.ndarray
) -> None:
    done = comfyui.wait(comfyui.queue(own_picture(**changes)))
    assert done["status"]["status_str"] == "error"
    assert says in problem(done)


def test_a_mask_says_what_does_not_count(comfyui: ComfyUI, picture: np.ndarray) -> None:
    alpha = np.full(picture.shape[:2], 255, np.uint8)
    _, top, _, high = BOX
    alpha[top + high // 2 :] = 0
    clear = np.concatenate([picture, alpha[:, :, None]], axis=2)
    Image.fromarray(clear, "RGBA").save(comfyui.base / "input" / "clear.png")
    masked = own_picture(photo={"image": "clear.png"}, invert={"mask": ["photo", 1]})
    with Image.open(comfyui.picture(comfyui.run(masked)["invert"]["images"][0])) as shown:
        found = np.asarray(shown).astype(int)
    with Image.open(comfyui.picture(comfyui.run(own_picture())["invert"]["images"][0])) as shown:
        plain = np.asarray(shown).astype(int)
    change = np.abs(found - plain).mean(axis=2)
    middle, edge = len(change) // 2, len(change) // 32
    assert change[middle + edge :].mean() > 2 * change[: middle - edge].mean()
