"""Graphs and files of an older version in a real ComfyUI: see `tests/older/README.md`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from comfy_server import ROOT, ComfyUI, as_prompt, node
from PIL import Image

OLDER = ROOT / "tests" / "older"


@pytest.mark.parametrize("file", sorted((OLDER / "workflows").glob("*.json")), ids=lambda file: file.stem)
def test_a_workflow_runs_to_its_images(file: Path, comfyui: ComfyUI, schemas: dict[str, Any]) -> None:
    outputs = comfyui.run(as_prompt(json.loads(file.read_text()), schemas))
    shown = [output for output in outputs.values() if "images" in output]
    assert len(shown) >= 4
    for output in shown:
        with Image.open(comfyui.picture(output["images"][0])) as picture:
            assert np.asarray(picture.convert("RGB")).std() > 5


def test_a_latent_and_a_direction_file_lead_to_the_picture_that_they_did(comfyui: ComfyUI) -> None:
    models = comfyui.base / "models" / "stylegan_directions"
    for name, folder in (("mouth_w.safetensors", models), ("plain.safetensors", comfyui.base / "input")):
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(OLDER / name, folder / f"older_{name}")
    prompt = {
        "load": node("LoadGAN", name="avatars"),
        "latent": node("LoadGANLatent", gan=["load", 0], file="older_plain.safetensors"),
        "file": node("LoadDirections", file="older_mouth_w.safetensors"),
        "apply": node(
            "ApplyDirection",
            gan=["load", 0],
            latent=["latent", 0],
            directions=["file", 0],
            direction="0",
            strength=3.0,
            confine=0.0,
            confine_feather=0.0,
        ),
        "image": {"class_type": "PreviewImage", "inputs": {"images": ["apply", 1]}},
    }
    with Image.open(comfyui.picture(comfyui.run(prompt)["image"]["images"][0])) as picture:
        made = np.asarray(picture.convert("RGB")).astype(int)
    with Image.open(OLDER / "mouth_w.png") as picture:
        assert np.abs(made - np.asarray(picture.convert("RGB")).astype(int)).max() <= 2  # rounding
