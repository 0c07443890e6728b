"""The nodes' own logic, as far as it goes without ComfyUI, and the files around it."""

from __future__ import annotations

import importlib
import json
import re
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from packs import modules_of_pack

import resefa_core as resefa
from resefa_core.defaults import SHOWN_FIRST

ROOT = Path(__file__).resolve().parents[1]
SCHEMAS = json.loads((ROOT / "tests" / "comfyui" / "schemas.json").read_text())


def pack_module(name: str) -> types.ModuleType:
    """A module of the pack, found as in ComfyUI: inside a package whose name is not ours."""
    if "a_pack" not in sys.modules:
        sys.modules.update(modules_of_pack("a_pack"))
    return importlib.import_module(f"a_pack.nodes.{name}")


selection = pack_module("selection")
pictures = pack_module("pictures")

BOX = {"x": 8, "y": 4, "width": 16, "height": 8}


def box_mask(x: int, y: int, width: int, height: int, side: int = 64) -> torch.Tensor:
    mask = torch.zeros(side, side)
    mask[y : y + height, x : x + width] = 1.0
    return mask


def test_a_box_in_pixels_covers_just_those() -> None:
    region, note = selection.region_of_box(BOX, 64, 64)
    assert note == ""
    torch.testing.assert_close(region.mask(64, 64), box_mask(8, 4, 16, 8))


def test_a_box_over_the_edge_is_cut_with_a_note() -> None:
    region, note = selection.region_of_box({"x": -4, "y": 56, "width": 12, "height": 512}, 64, 64)
    torch.testing.assert_close(region.mask(64, 64), box_mask(0, 56, 8, 8))
    assert note == "the box was cut to the image: 8 x 8 at (0, 56)"


@pytest.mark.parametrize(
    "box",
    [
        {"x": 64, "y": 0, "width": 4, "height": 4},
        {"x": 0, "y": 0, "width": 0, "height": 4},
        {"x": 0, "y": 0, "width": -3, "height": 4},
        {"x": 0, "y": 0, "width": 64, "height": 64},
        {"x": 0, "y": 0, "width": 1e9, "height": 1e9},
        {"x": 0, "y": 0, "width": 4},
        {"x": "left", "y": 0, "width": 4, "height": 4},
        {"x": float("nan"), "y": 0, "width": 4, "height": 4},
        {"x": float("inf"), "y": 0, "width": 4, "height": 4},
        {"x": None, "y": 0, "width": 4, "height": 4},
        [BOX],
        None,
    ],
)
def test_boxes_that_are_none_are_refused(box: object) -> None:
    with pytest.raises(resefa.RegionError):
        selection.region_of_box(box, 64, 64)


def test_how_box_mask_and_preset_combine() -> None:
    painted = box_mask(16, 8, 16, 16)
    box = box_mask(8, 4, 16, 8)
    eyes = resefa.Region.preset("avatars/eyes").mask(64, 64)

    def selected(**options: object) -> torch.Tensor:
        return selection.select(BOX, 64, 64, **options)[0].mask(64, 64)

    torch.testing.assert_close(selected(), box)
    torch.testing.assert_close(selected(mask=painted), painted)
    torch.testing.assert_close(selected(preset="avatars/eyes"), eyes)
    torch.testing.assert_close(selected(mask=painted, preset="avatars/eyes"), painted)
    torch.testing.assert_close(
        selected(mask=painted, preset="avatars/eyes", combine="add"), (box + painted + eyes).clamp(max=1)
    )
    torch.testing.assert_close(selected(mask=painted, combine="intersect"), box * painted)
    torch.testing.assert_close(selected(mask=painted, combine="subtract"), box * (1 - painted))
    torch.testing.assert_close(selected(invert=True), 1 - box)
    soft = selected(feather=0.05)
    assert 0 < float(soft[3, 16]) < 1


def test_a_note_says_what_is_used_instead_of_the_box() -> None:
    assert selection.select(BOX, 64, 64, preset="avatars/eyes")[1] == "the preset is used, not the box"
    assert selection.select(BOX, 64, 64, mask=box_mask(0, 0, 9, 9))[1] == "the mask is used, not the box"
    assert selection.select(BOX, 64, 64, preset="avatars/eyes", combine="add")[1] == ""


def test_a_part_counts_before_mask_and_preset() -> None:
    part = resefa.Region.from_box(0.5, 0.5, 0.25, 0.25)
    region, note = selection.select(BOX, 64, 64, preset="avatars/eyes", mask=box_mask(0, 0, 9, 9), part=part)
    torch.testing.assert_close(region.mask(64, 64), part.mask(64, 64))
    assert note == "the part is used, not the box"
    both = selection.select(BOX, 64, 64, part=part, combine="add")[0].mask(64, 64)
    torch.testing.assert_close(both, box_mask(8, 4, 16, 8) + part.mask(64, 64))


def test_parts_are_meant_by_name_or_by_the_middle_of_the_box() -> None:
    assert selection.chosen_part("hair", 0.7, BOX, 64, 64) == resefa.Selection("hair", (), 0.7)
    click = resefa.Click(16 / 64, 8 / 64)
    assert selection.chosen_part("here", 0.5, BOX, 64, 64) == resefa.Selection("", (click,))
    with pytest.raises(resefa.RegionError):
        selection.chosen_part("here", 0.5, {"x": 90, "y": 0, "width": 4, "height": 4}, 64, 64)
    with pytest.raises(resefa.RegionError):
        selection.chosen_part("a\nb", 0.5, BOX, 64, 64)


def test_combinations_with_nothing_left_are_refused() -> None:
    away = box_mask(40, 40, 8, 8)
    with pytest.raises(resefa.RegionError, match="holds no pixel"):
        selection.select(BOX, 64, 64, mask=away, combine="intersect")
    with pytest.raises(resefa.RegionError, match="is empty"):
        selection.select(BOX, 64, 64, mask=torch.zeros(64, 64), combine="add")
    with pytest.raises(resefa.RegionError, match="unknown"):
        selection.select(BOX, 64, 64, combine="xor")
    with pytest.raises(resefa.RegionError, match="no preset"):
        selection.select(BOX, 64, 64, preset="avatars/tail")


def test_images_go_to_comfyui_and_back() -> None:
    images = torch.rand(2, 3, 5, 7) * 2 - 1
    there = pictures.to_comfy(images)
    assert there.shape == (2, 5, 7, 3)
    assert 0 <= float(there.min()) <= float(there.max()) <= 1
    torch.testing.assert_close(pictures.from_comfy(there), images)
    torch.testing.assert_close(pictures.to_comfy(images * 9).amax(), torch.tensor(1.0))
    assert pictures.from_comfy(torch.rand(1, 4, 4, 4)).shape == (1, 3, 4, 4)
    assert pictures.from_comfy(torch.rand(1, 4, 4, 1)).shape == (1, 3, 4, 4)
    with pytest.raises(ValueError, match="expected"):
        pictures.from_comfy(torch.rand(4, 4, 3))


def test_tensors_made_in_inference_mode_can_be_used_outside() -> None:
    with torch.inference_mode():
        there = torch.rand(1, 4, 4, 3)
    back = pictures.from_comfy(there)
    assert not back.is_inference()


def test_presets_are_offered_by_family() -> None:
    names = selection.preset_names()
    assert names[0] == "none"
    assert {"avatars/mouth", "ffhq/mouth", "biggan/left_half"} <= set(names)


def test_every_node_has_its_id_its_page_and_its_place_in_the_list() -> None:
    sources = "\n".join(file.read_text() for file in (ROOT / "nodes").glob("*.py"))
    ids = re.findall(r'node_id="(ReSeFa_\w+)"', sources)
    assert len(ids) == len(set(ids))
    assert set(ids) == set(SCHEMAS)
    listed = (ROOT / "nodes" / "extension.py").read_text().split("return [")[1].split("]")[0]
    assert {f"ReSeFa_{name}" for name in re.findall(r"\w+", listed)} == set(ids)
    pages = {file.stem for file in (ROOT / "web" / "docs").glob("*.md")}
    assert pages == set(ids)


@pytest.mark.parametrize("file", sorted((ROOT / "example_workflows").glob("*.json")), ids=lambda f: f.stem)
def test_example_workflows_use_nodes_that_exist_and_give_every_input(file: Path) -> None:
    workflow = json.loads(file.read_text())
    ours = [node for node in workflow["nodes"] if node["type"].startswith("ReSeFa_")]
    assert len(ours) >= 5
    for node in ours:
        schema = SCHEMAS[node["type"]]
        given = {socket["name"] for socket in node["inputs"]}
        assert set(schema["required"]) <= given, node["type"]
    links = {link[0] for link in workflow["links"]}
    used = {socket["link"] for node in workflow["nodes"] for socket in node.get("inputs", [])} - {None}
    assert used == links
    assert file.with_suffix(".jpg").is_file()


@pytest.mark.parametrize("file", sorted((ROOT / "example_workflows").glob("*.json")), ids=lambda f: f.stem)
def test_example_workflows_begin_with_the_faces_that_are_shown_first(file: Path) -> None:
    nodes = json.loads(file.read_text())["nodes"]
    values = {node["type"]: node.get("widgets_values", []) for node in nodes}
    assert values["ReSeFa_LoadGAN"] == [SHOWN_FIRST]
    side = resefa.load_generator(SHOWN_FIRST).resolution
    box = values["ReSeFa_SelectRegion"][0]
    part = "eyes" if file.stem == "build_a_direction_file" else "mouth"
    covered = selection.region_of_box(box, side, side)[0].mask(side, side)
    torch.testing.assert_close(covered, resefa.Region.preset(f"avatars/{part}").mask(side, side))
    for node in nodes:
        assert list(node.get("widgets_values_named", {}).values()) == node.get("widgets_values", []), node[
            "type"
        ]


def test_the_face_that_is_finished_has_the_size_that_its_note_says() -> None:
    nodes = json.loads((ROOT / "example_workflows" / "finish_a_face.json").read_text())["nodes"]
    side = resefa.load_generator(SHOWN_FIRST).resolution
    scales = {node["widgets_values"][1] for node in nodes if node["type"] == "ImageScaleBy"}
    (note,) = (node["widgets_values"][0] for node in nodes if node["type"] == "MarkdownNote")
    assert [f"{side} pixels becomes a picture of {side * scale}" in note for scale in scales] == [True]


def test_the_pack_says_the_same_of_itself_everywhere() -> None:
    project = (ROOT / "pyproject.toml").read_text()
    assert f'version = "{resefa.__version__}"' in project
    (line,) = re.findall(r"^dependencies = (\[.*\])$", project, re.MULTILINE)
    assert json.loads(line) == (ROOT / "requirements.txt").read_text().split()
    assert not any("torch" in need for need in json.loads(line))


def test_pixels_of_a_picture_keep_their_values() -> None:
    from PIL import Image

    pixels = np.random.RandomState(0).randint(0, 256, (4, 6, 3), dtype=np.uint8)
    batch = pictures.picture_to_comfy(Image.fromarray(pixels))
    np.testing.assert_array_equal((batch[0] * 255).round().to(torch.uint8).numpy(), pixels)
