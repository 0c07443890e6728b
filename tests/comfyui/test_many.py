"""Many directions, frames and batches in a real ComfyUI, as programs ask for them."""

from __future__ import annotations

import shutil
from typing import Any

import numpy as np
import pytest
from comfy_server import BUNDLED, GENERATOR, ComfyUI, Prompt, graph, node, problem
from PIL import Image
from places import side, within

FREE = {"confine": 0.0, "confine_feather": 0.0}
SLIDERS = {"gan": ["load", 0], "latent": ["sample", 0], "directions": ["factorize", 0], **FREE}


def with_nodes(batch: int = 1, **more: dict[str, Any]) -> Prompt:
    """A graph up to directions of the first sample of a batch, and further nodes."""
    prompt = graph(sample={"batch_size": batch})
    del prompt["apply"], prompt["image"]
    one = node("PickLatents", gan=["load", 0], latent=["sample", 0], which="0")
    prompt["region"]["inputs"]["image"] = ["one", 1]
    prompt["factorize"]["inputs"]["latent"] = ["one", 0]
    return {**prompt, "one": one, **more}


def preview(source: str, slot: int = 1) -> dict[str, Any]:
    return {"class_type": "PreviewImage", "inputs": {"images": [source, slot]}}


def pictures(comfyui: ComfyUI, output: dict[str, Any]) -> np.ndarray:
    found = []
    for shown in output["images"]:
        with Image.open(comfyui.picture(shown)) as picture:
            found.append(np.asarray(picture.convert("RGB")).astype(float))
    return np.stack(found)


def test_sliders_move_along_several_directions_by_name_or_number(comfyui: ComfyUI) -> None:
    apply = {"gan": ["load", 0], "directions": ["factorize", 0], **FREE}
    outputs = comfyui.run(
        with_nodes(
            sliders=node("DirectionSliders", **SLIDERS, strengths="0=2\ndirection 1=-1.5\nfrown=3"),
            first=node("ApplyDirection", **apply, latent=["sample", 0], direction="0: smile", strength=2.0),
            second=node(
                "ApplyDirection", **apply, latent=["first", 0], direction="direction 1", strength=-1.5
            ),
            alone=preview("second"),
            together=preview("sliders"),
        )
    )
    assert np.abs(pictures(comfyui, outputs["alone"]) - pictures(comfyui, outputs["together"])).max() <= 2
    (offered,) = outputs["sliders"]["resefa_directions"]
    assert offered["names"] == ["direction 0", "direction 1", "direction 2"]
    assert outputs["sliders"]["text"] == ["note: not among these directions: frown"]


def test_sliders_need_no_other_node_to_be_seen(comfyui: ComfyUI) -> None:
    outputs = comfyui.run(with_nodes(sliders=node("DirectionSliders", **SLIDERS, strengths="")))
    assert len(outputs["sliders"]["images"]) == 1


@pytest.mark.parametrize("strengths", ["smile", "0=x", "9=1", "0=1e9"])
def test_what_are_no_strengths_is_refused_in_words(strengths: str, comfyui: ComfyUI) -> None:
    prompt = with_nodes(sliders=node("DirectionSliders", **SLIDERS, strengths=strengths))
    done = comfyui.wait(comfyui.queue(prompt))
    assert done["status"]["status_str"] == "error"
    assert any(word in problem(done) for word in ("NAME=STRENGTH", "out of range", "smile=-1"))


def test_frames_of_a_walk_are_edited_and_become_a_video(comfyui: ComfyUI) -> None:
    frames = 8
    walk = {"gan": ["load", 0], "latent": ["sample", 0], "layers": "all", "layer_list": ""}
    outputs = comfyui.run(
        with_nodes(
            batch=3,
            walk=node("WalkLatents", **walk, frames=frames, path="spherical", loop=True),
            edit=node(
                "EditFrames",
                **{**SLIDERS, "latent": ["walk", 0]},
                keyframes="0 = 0:0, 2:4\ndirection 1 = 0, 1",
                frames=99,
                between="smooth",
                loop=True,
            ),
            walked=preview("walk"),
            edited=preview("edit"),
            video={"class_type": "CreateVideo", "inputs": {"images": ["edit", 1], "fps": 8.0}},
            save={
                "class_type": "SaveVideo",
                "inputs": {
                    "video": ["video", 0],
                    "filename_prefix": "video/walk",
                    "format": "auto",
                    "codec": "auto",
                },
            },
            webp={
                "class_type": "SaveAnimatedWEBP",
                "inputs": {
                    "images": ["edit", 1],
                    "filename_prefix": "walk",
                    "fps": 8.0,
                    "lossless": False,
                    "quality": 80,
                    "method": "default",
                },
            },
        )
    )
    walked, edited = pictures(comfyui, outputs["walked"]), pictures(comfyui, outputs["edited"])
    assert walked.shape == edited.shape == (frames, side(GENERATOR), side(GENERATOR), 3)
    change = np.abs(edited - walked).mean(axis=(1, 2, 3))
    assert change[0] < 0.5 < change[2]
    assert comfyui.picture(outputs["save"]["images"][0]).stat().st_size > 2000
    with Image.open(comfyui.picture(outputs["webp"]["images"][0])) as film:
        assert film.n_frames == frames


def test_batches_are_taken_apart_and_put_together(comfyui: ComfyUI) -> None:
    outputs = comfyui.run(
        with_nodes(
            batch=3,
            split=node("SplitLatents", latent=["sample", 0], at=1),
            join=node(
                "JoinLatents",
                gan=["load", 0],
                **{"latents.latent0": ["split", 1], "latents.latent1": ["split", 0]},
            ),
            mean=node("AverageLatents", gan=["load", 0], latent=["join", 0]),
            sampled=preview("sample"),
            joined=preview("join"),
            averaged=preview("mean"),
        )
    )
    sampled, joined = pictures(comfyui, outputs["sampled"]), pictures(comfyui, outputs["joined"])
    np.testing.assert_array_equal(joined, sampled[[1, 2, 0]])
    assert len(pictures(comfyui, outputs["averaged"])) == 1


def test_a_sweep_of_a_batch_goes_in_the_order_that_is_chosen(comfyui: ComfyUI) -> None:
    sweep = {**SLIDERS, "direction": "0", "first": -2.0, "last": 2.0, "frames": 3}
    outputs = comfyui.run(
        with_nodes(
            batch=2,
            plain=node("DirectionSweep", **sweep),
            ordered=node("DirectionSweep", **sweep, order="image by image"),
            first=preview("plain", 0),
            second=preview("ordered", 0),
        )
    )
    plain, ordered = pictures(comfyui, outputs["first"]), pictures(comfyui, outputs["second"])
    np.testing.assert_array_equal(ordered, plain[[0, 2, 4, 1, 3, 5]])


def test_the_file_of_a_public_generator_is_declared_with_its_address(comfyui: ComfyUI) -> None:
    name = "stylegan3-t-ffhq-1024x1024.pkl"  # by its name alone; what is in it is the small one
    folder = comfyui.base / "models" / "stylegan"
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(BUNDLED, folder / name)
    prompt: Prompt = {
        "load": node("LoadGAN", name=name),
        "sample": node(
            "SampleGANLatent", gan=["load", 0], seed=3, truncation=0.7, batch_size=1, class_index=0
        ),
        "seen": preview("sample"),
    }
    (model,) = comfyui.run(prompt)["load"]["resefa_models"]
    assert model["name"] == name
    assert model["url"].endswith(f"/{name}")
    assert model["directory"] == "stylegan"


def test_a_difference_is_a_mask_and_a_map(comfyui: ComfyUI) -> None:
    outputs = comfyui.run(
        with_nodes(
            sliders=node("DirectionSliders", **SLIDERS, strengths="0=4"),
            difference=node("ImageDifference", before=["sample", 1], after=["sliders", 1], gain=6.0),
            mask={"class_type": "MaskToImage", "inputs": {"mask": ["difference", 0]}},
            seen=preview("mask", 0),
            map=preview("difference"),
        )
    )
    seen = pictures(comfyui, outputs["seen"])[0].mean(axis=2)
    inside = within("mouth", seen)
    assert seen[inside].mean() > 3 * seen[~inside].mean()
    assert pictures(comfyui, outputs["map"]).std() > 5
