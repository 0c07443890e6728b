"""The pack in a real ComfyUI: it loads, its graphs run, and what goes wrong is said in words."""

from __future__ import annotations

import copy
import json
import re
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from comfy_server import BUNDLED, GENERATOR, ROOT, ComfyUI, Prompt, as_prompt, graph, node, problem
from hub_server import HubServer, Repo
from older_gans import save_biggan
from PIL import Image
from places import box_of, side, within
from safetensors import safe_open
from safetensors.torch import save_file
from test_shapes import shaped

import resefa_core as resefa
from resefa_core import cli
from resefa_core.atlas import Plan, build_atlas
from resefa_core.defaults import SHOWN_FIRST
from resefa_core.generators import PUBLISHED

WORKFLOWS = sorted((ROOT / "example_workflows").glob("*.json"))
SCHEMAS = json.loads((Path(__file__).parent / "schemas.json").read_text())
SIDE = side(GENERATOR)

Schemas = dict[str, dict[str, Any]]


def pixels(comfyui: ComfyUI, output: dict[str, Any]) -> np.ndarray:
    with Image.open(comfyui.picture(output["images"][0])) as picture:
        return np.asarray(picture.convert("RGB")).astype(np.float32)


def refusal(comfyui: ComfyUI, prompt: Prompt) -> str:
    """What the user is told: before the run or in it."""
    status, answer = comfyui.post("/prompt", {"prompt": prompt})
    if status != 200:
        return json.dumps(answer)
    if answer["node_errors"]:
        return json.dumps(answer["node_errors"])
    done = comfyui.wait(answer["prompt_id"])
    assert done["status"]["status_str"] == "error"
    return problem(done)


def write_brighter(file: Path, amount: float) -> None:
    """The bundled generator with brighter colours."""
    with safe_open(BUNDLED, "pt") as opened:
        tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
        metadata = opened.metadata()
    tensors["synthesis.b64.torgb.bias"] = tensors["synthesis.b64.torgb.bias"] + amount
    save_file(tensors, file, metadata)


def test_loads_without_a_warning(comfyui: ComfyUI) -> None:
    log = comfyui.log().partition("To see the GUI go to")[0]
    assert re.search(r"seconds: .*custom_nodes/resefa", log)
    mentions = [line for line in log.splitlines() if "resefa" in line.lower() and "seconds:" not in line]
    assert mentions == []


def test_every_node_is_listed_explained_and_documented(schemas: Schemas, comfyui: ComfyUI) -> None:
    ours = {name: schema for name, schema in schemas.items() if name.startswith("ReSeFa_")}
    assert set(ours) == set(SCHEMAS)
    for name, schema in ours.items():
        assert schema["description"], name
        assert schema["search_aliases"], name
        assert schema["category"].startswith("GAN/ReSeFa"), name
        for group in ("required", "optional"):
            for socket, spec in schema["input"].get(group, {}).items():
                assert spec[1].get("tooltip"), (name, socket)
        assert all(schema["output_tooltips"]), name
        page = (ROOT / "web" / "docs" / f"{name}.md").read_text()
        assert f"]({name}.jpg)" in page, name
        assert (ROOT / "web" / "docs" / f"{name}.jpg").is_file(), name


def test_the_english_texts_are_those_of_the_nodes(schemas: Schemas) -> None:
    english = json.loads((ROOT / "locales" / "en" / "nodeDefs.json").read_text())
    for name, texts in english.items():
        schema = schemas[name]
        assert (texts["display_name"], texts["description"]) == (
            schema["display_name"],
            schema["description"],
        )
        inputs = {**schema["input"].get("required", {}), **schema["input"].get("optional", {})}
        for socket, (_, options) in inputs.items():
            shown = {"name": options.get("display_name") or socket, "tooltip": options["tooltip"]}
            assert texts["inputs"][socket] == shown, (name, socket)
        outputs = zip(schema["output_name"], schema["output_tooltips"], strict=True)
        assert list(texts["outputs"].values()) == [{"name": n, "tooltip": t} for n, t in outputs], name


def test_translations_are_served(comfyui: ComfyUI) -> None:
    served = comfyui.get("/i18n")
    assert served["de"]["nodeDefs"]["ReSeFa_DirectionSliders"]["display_name"] == "Richtungsregler"


def test_inputs_and_outputs_are_only_ever_added_at_the_end(schemas: Schemas) -> None:
    for name, known in SCHEMAS.items():
        required = list(schemas[name]["input"].get("required", {}))
        assert required[: len(known["required"])] == known["required"], name
        optional = list(schemas[name]["input"].get("optional", {}))
        assert optional[: len(known["optional"])] == known["optional"], name
        assert schemas[name]["output"][: len(known["output"])] == known["output"], name


@pytest.mark.parametrize(
    ("name", "socket", "least", "most"),
    [
        ("ReSeFa_FactorizeRegion", "num_directions", 1, 64),
        ("ReSeFa_FactorizeRegion", "samples", 1, 64),
        ("ReSeFa_ApplyDirection", "strength", -12, 12),
        ("ReSeFa_DirectionSweep", "first", -12, 12),
        ("ReSeFa_DirectionSweep", "last", -12, 12),
    ],
)
def test_ranges_only_ever_widen(schemas: Schemas, name: str, socket: str, least: int, most: int) -> None:
    inputs = schemas[name]["input"]
    _, told = {**inputs["required"], **inputs.get("optional", {})}[socket]
    assert told["min"] <= least
    assert told["max"] >= most


def test_new_nodes_begin_with_the_mouth_of_the_faces_that_are_shown_first(schemas: Schemas) -> None:
    _, name = schemas["ReSeFa_LoadGAN"]["input"]["required"]["name"]
    _, box = schemas["ReSeFa_SelectRegion"]["input"]["required"]["box"]
    assert name["default"] == SHOWN_FIRST
    assert box["default"] == box_of("mouth", SHOWN_FIRST)


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.stem)
def test_example_workflows_run_to_finished_images(file: Path, comfyui: ComfyUI, schemas: Schemas) -> None:
    prompt = as_prompt(json.loads(file.read_text()), schemas)
    outputs = comfyui.run(prompt)
    shown = [output for output in outputs.values() if "images" in output]
    assert len(shown) >= 4
    for output in shown:
        if output["images"][0]["filename"].endswith(".mp4"):
            assert comfyui.picture(output["images"][0]).stat().st_size > 10_000
        else:
            assert pixels(comfyui, output).std() > 5
    listed = comfyui.get("/workflow_templates")
    assert file.stem in listed["resefa"]
    assert file.with_suffix(".jpg").is_file()


def test_an_edit_changes_the_region_and_little_else(comfyui: ComfyUI) -> None:
    before = comfyui.run(graph(apply={"strength": 0.0}))
    after = comfyui.run(graph(apply={"strength": 5.0}))
    change = np.abs(pixels(comfyui, after["image"]) - pixels(comfyui, before["image"])).mean(axis=2)
    inside = within("mouth", change)
    assert change[inside].mean() > 10
    assert change[inside].mean() > 4 * change[~inside].mean()


@pytest.mark.parametrize(
    "method", ["resefa-confined", "paper", "published", "sefa", "ganspace", "lowrankgan", "stylespace"]
)
def test_other_methods_edit_as_much_by_a_step(method: str, comfyui: ComfyUI) -> None:
    before = comfyui.run(graph(apply={"strength": 0.0}))
    after = comfyui.run(graph(factorize={"method": method, "num_directions": 1}, apply={"strength": 1.0}))
    change = np.abs(pixels(comfyui, after["image"]) - pixels(comfyui, before["image"])).mean(axis=2)
    assert 2 < change[within("mouth", change)].mean() < 25


def test_an_image_that_is_not_square_keeps_its_shape(comfyui: ComfyUI) -> None:
    folder = comfyui.base / "models" / "stylegan"
    folder.mkdir(parents=True, exist_ok=True)
    shaped(3, (4, 2), 32).save(folder / "tall.safetensors", overwrite=True)
    outputs = comfyui.run(
        graph(
            load={"name": "tall.safetensors"},
            region={"box": {"x": 2, "y": 10, "width": 8, "height": 10}},
        )
    )
    with Image.open(comfyui.picture(outputs["image"]["images"][0])) as picture:
        assert picture.size == (16, 32)
    with Image.open(comfyui.picture(outputs["region"]["images"][0])) as picture:
        assert picture.width * 2 == picture.height


def test_samples_count_all_images(comfyui: ComfyUI) -> None:
    def seeds(**factorize: Any) -> tuple[int, ...]:
        prompt = graph(factorize={"num_directions": 1, **factorize}, sample={"batch_size": 2})
        name = "-".join(f"{name}-{value}" for name, value in factorize.items()) or "alone"
        texts = dict.fromkeys(("names", "title", "description", "author", "license"), "")
        prompt["save"] = node(
            "SaveDirections", directions=["factorize", 0], filename=f"seeds/{name}", **texts
        )
        comfyui.run(prompt)
        folder = comfyui.base / "models" / "stylegan_directions" / "seeds"
        found = resefa.Directions.load(folder / f"{name}.safetensors")
        assert found.seeds is not None
        return found.seeds

    assert seeds() == (7, 8)
    assert seeds(samples=1) == (7, 8)
    assert seeds(samples=4) == (7, 8, 9, 10)
    assert seeds(further_samples=1) == (7, 8, 9)


def test_parameters_of_methods_are_set(comfyui: ComfyUI) -> None:
    found = {"method": "ganspace", "space": "w", "num_directions": 1}
    sheets = [
        pixels(comfyui, comfyui.run(graph(factorize={**found, "parameters": text}))["factorize"])
        for text in ("", "num_samples = 700, candidates=1")
    ]
    assert np.abs(sheets[0] - sheets[1]).max() > 20
    assert "no parameter" in refusal(comfyui, graph(factorize={**found, "parameters": "colour=1"}))
    assert "is not like" in refusal(comfyui, graph(factorize={**found, "parameters": "colour"}))


def test_a_saved_latent_knows_its_edit(comfyui: ComfyUI) -> None:
    prompt = graph(apply={"strength": 2.0})
    prompt["again"] = copy.deepcopy(prompt["apply"])
    prompt["again"]["inputs"] |= {"latent": ["apply", 0], "direction": "1", "strength": -1.0, "confine": 0.5}
    prompt["save"] = node("SaveGANLatent", latent=["again", 0], filename="edits/twice")
    comfyui.run(prompt)
    edited = resefa.Edited.load(comfyui.base / "output" / "gan_latents" / "edits" / "twice.safetensors")
    assert edited.original.seed == (7,)
    assert edited.edit.words == ["direction 0 +2", "direction 1 -1, confined 0.5"]
    load = {
        "load": node("LoadGAN", name="avatars"),
        "kept": node("LoadGANLatent", gan=["load", 0], file="gan_latents/edits/twice.safetensors [output]"),
        "image": {"class_type": "PreviewImage", "inputs": {"images": ["kept", 1]}},
    }
    outputs = comfyui.run(load)
    assert outputs["kept"]["text"] == edited.edit.words
    shown = pixels(comfyui, outputs["image"])
    made = np.asarray(resefa.to_pil(resefa.load_generator("avatars").synthesize(edited.latent)[0]))
    assert np.abs(shown - made).max() <= 2


SOFT = {"confine_feather": resefa.defaults.CONFINED_FEATHER}
WELL_WITHIN_THE_MOUTH = resefa.Region.from_box(22 / 64, 40 / 64, 20 / 64, 8 / 64)


def test_directions_for_confined_edits_stay_confined_whatever_confine_says(comfyui: ComfyUI) -> None:
    found = {"method": "resefa-confined", "space": "w", "num_directions": 1}
    before = pixels(comfyui, comfyui.run(graph(apply={"strength": 0.0}))["image"])
    images = []
    for confine, feather, softened in ((0.0, 0.0, {}), (1.0, 0.0, {}), (0.0, 0.03, {}), (0.0, 0.0, SOFT)):
        apply = {"strength": 4.0, "confine": confine}
        prompt = graph(factorize=found | softened, apply=apply, region={"feather": feather})
        images.append(pixels(comfyui, comfyui.run(prompt)["image"]))
    assert np.array_equal(images[0], images[1])
    assert not np.array_equal(images[0], images[2])
    assert np.array_equal(images[2], images[3])
    for image in (images[0], images[2]):
        change = np.abs(image - before).mean(axis=2)
        assert change[within(WELL_WITHIN_THE_MOUTH, change)].mean() > 10
        assert change[: 30 * SIDE // 64].mean() < 0.5


def test_strengths_chain_and_confine(comfyui: ComfyUI) -> None:
    twice = graph(apply={"strength": 2.0, "confine": 1.0})
    twice["again"] = copy.deepcopy(twice["apply"])
    twice["again"]["inputs"]["latent"] = ["apply", 0]
    twice["image"]["inputs"]["images"] = ["again", 1]
    once = graph(apply={"strength": 4.0, "confine": 1.0})
    chained, straight = (pixels(comfyui, comfyui.run(prompt)["image"]) for prompt in (twice, once))
    assert np.abs(chained - straight).max() <= 3


def test_only_what_changed_runs_again(comfyui: ComfyUI) -> None:
    def cached(prompt: Prompt) -> set[str]:
        done = comfyui.wait(comfyui.queue(prompt))
        names: list[str] = []
        for kind, message in done["status"]["messages"]:
            if kind == "execution_cached":
                names += message["nodes"]
        return set(names)

    cached(graph(sample={"seed": 31}))
    everything = {"load", "sample", "region", "factorize", "apply", "image"}
    assert cached(graph(sample={"seed": 31})) == everything
    moved = graph(sample={"seed": 31}, apply={"strength": 1.0})
    assert cached(moved) == everything - {"apply", "image"}


def test_several_queued_prompts_finish(comfyui: ComfyUI) -> None:
    waiting = [comfyui.queue(graph(sample={"seed": seed})) for seed in (41, 42, 43)]
    assert all(comfyui.wait(each)["status"]["status_str"] == "success" for each in waiting)


def test_an_interrupt_stops_an_analysis(comfyui: ComfyUI) -> None:
    prompt = graph(sample={"seed": 99}, factorize={"layers": "all", "further_samples": 32})
    prompt_id = comfyui.queue(prompt)
    while not comfyui.get("/queue")["queue_running"]:
        time.sleep(0.05)
    time.sleep(2.0)
    comfyui.post("/interrupt", {})
    done = comfyui.wait(prompt_id)
    kinds = [kind for kind, _ in done["status"]["messages"]]
    assert "execution_interrupted" in kinds
    comfyui.run(graph())


def test_analyses_go_when_comfyui_unloads_models(comfyui: ComfyUI) -> None:
    comfyui.free({"unload_models": True})
    before = comfyui.resident_mb()
    for seed in range(300, 304):
        comfyui.run(graph(sample={"seed": seed}, factorize={"layers": "all", "num_directions": 1}))
    analysed = comfyui.resident_mb()
    assert analysed - before > 4 * 60 * 0.8
    comfyui.free({"unload_models": True})
    assert comfyui.resident_mb() - before < 0.4 * (analysed - before)
    comfyui.run(graph(sample={"seed": 300}, factorize={"num_directions": 2}))


def test_masks_presets_and_combinations(comfyui: ComfyUI) -> None:
    prompt = graph(region={"preset": "avatars/eyes", "combine": "add"})
    prompt["mask"] = {"class_type": "MaskToImage", "inputs": {"mask": ["region", 1]}}
    prompt["image"]["inputs"]["images"] = ["mask", 0]
    mask = pixels(comfyui, comfyui.run(prompt)["image"])[..., 0] > 127
    np.testing.assert_array_equal(mask, within("mouth", mask) | within("eyes", mask))
    assert mask.shape == (SIDE, SIDE)
    painted = graph(region={"preset": "none", "mask": ["solid", 0], "combine": "intersect"})
    painted["solid"] = {"class_type": "SolidMask", "inputs": {"value": 1.0, "width": SIDE, "height": SIDE}}
    assert "covers the whole image" in refusal(comfyui, painted)


def test_parts_are_chosen_and_listed(comfyui: ComfyUI) -> None:
    wired = {"gan": ["load", 0], "latent": ["sample", 0]}
    corner = SIDE // 8
    box = {"x": 0, "y": 0, "width": corner, "height": corner}
    prompt = graph(region={**wired, "part": "here", "box": box})
    prompt["mask"] = {"class_type": "MaskToImage", "inputs": {"mask": ["region", 1]}}
    prompt["image"]["inputs"]["images"] = ["mask", 0]
    behind = pixels(comfyui, comfyui.run(prompt)["image"])[..., 0] > 127
    assert behind[:corner, :corner].mean() > 0.9
    assert not behind[3 * corner : 5 * corner, 3 * corner : 5 * corner].any()
    prompt = graph()
    prompt["parts"] = node("GANParts", **wired, count=0)
    prompt["image"]["inputs"]["images"] = ["parts", 2]
    shown = comfyui.run(prompt)["parts"]
    names = shown["text"][0].split("\n")
    assert {"mouth", "eyes", "skin", "background"} <= set(names)
    assert len(shown["images"]) == len(names)
    prompt["parts"]["inputs"]["count"] = 5
    assert len(comfyui.run(prompt)["parts"]["images"]) == 5
    assert "connect gan and latent" in refusal(comfyui, graph(region={"part": "mouth"}))
    assert "there is no part 'wheel'" in refusal(comfyui, graph(region={**wired, "part": "wheel"})).replace(
        "\\", ""
    )


def test_a_file_of_parts_names_regions_wherever_its_gan_goes(comfyui: ComfyUI) -> None:
    generator = resefa.load_generator("avatars")
    known = resefa.parts_of_generator(generator)
    assert known is not None
    folder = comfyui.base / "models" / "stylegan_parts"
    folder.mkdir(parents=True, exist_ok=True)
    known.named(["lips" if name == "mouth" else name for name in known.names]).save(
        folder / "mine.safetensors", overwrite=True
    )
    replace(known, generator=known.generator | {"fingerprint": "0" * 64, "name": "cats"}).save(
        folder / "cats.safetensors", overwrite=True
    )
    wired = {"gan": ["named", 0], "latent": ["sample", 0]}
    prompt = graph(region={**wired, "part": "lips"}, factorize={"gan": ["named", 0], "samples": 2})
    prompt["named"] = node("LoadGANParts", gan=["load", 0], file="mine.safetensors")
    prompt["mask"] = {"class_type": "MaskToImage", "inputs": {"mask": ["region", 1]}}
    prompt["image"]["inputs"]["images"] = ["mask", 0]
    prompt["parts"] = node("GANParts", **wired, count=0)
    prompt["seen"] = {"class_type": "PreviewImage", "inputs": {"images": ["parts", 2]}}
    prompt["strips"] = {"class_type": "PreviewImage", "inputs": {"images": ["factorize", 1]}}
    outputs = comfyui.run(prompt)
    mask = pixels(comfyui, outputs["image"])[..., 0] / 255.0
    expected = resefa.Session(generator, seed=7).part("mouth").mask(*mask.shape)
    np.testing.assert_allclose(mask, expected.numpy(), atol=0.02)
    for told in ("named", "parts"):
        names = outputs[told]["text"][0].split("\n")
        assert "lips" in names
        assert "mouth" not in names
    prompt["named"]["inputs"]["file"] = "cats.safetensors"
    assert "parts are of 'cats'" in refusal(comfyui, prompt).replace("\\", "")
    prompt["named"]["inputs"]["file"] = "none.safetensors"
    assert "models/stylegan_parts" in refusal(comfyui, prompt)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"load": {"name": "missing.pkl"}}, ["missing.pkl", "models/stylegan"]),
        (
            {"region": {"box": {"x": SIDE + 16, "y": 10, "width": 4, "height": 4}}},
            ["outside the image", f"{SIDE} x {SIDE}"],
        ),
        ({"region": {"box": {"x": 0, "y": 0, "width": SIDE, "height": SIDE}}}, ["whole image"]),
        ({"region": {"box": {"left": 3}}}, ["x, y, width and height"]),
        ({"apply": {"direction": "9"}}, ["direction 9 is out of range", "0 to 2"]),
        ({"apply": {"direction": "smile"}}, ["no direction is named 'smile'"]),
        ({"factorize": {"space": "z+"}}, ["no space 'z+'", "w+, w, s, z"]),
        ({"factorize": {"method": "sefa", "space": "w+"}}, ["isn't defined in the space w+: expected w"]),
        ({"factorize": {"method": "magic"}}, ["magic"]),
        ({"factorize": {"layer_list": "2-30"}}, ["layers 0 to 9"]),
        ({"factorize": {"layer_list": "two"}}, ["a list like 0-3, 6"]),
        ({"apply": {"latent": ["load", 1]}}, ["mismatch"]),
        ({"sample": {"gan": ["sample", 0]}}, []),
    ],
)
def test_what_goes_wrong_is_said_in_words(
    changes: dict[str, dict[str, Any]], words: list[str], comfyui: ComfyUI
) -> None:
    said = refusal(comfyui, graph(**changes)).replace("\\", "")
    for word in words:
        assert word in said


@pytest.mark.parametrize("address", [[], [[]], ["a"], [1, 2, 3]])
def test_an_address_that_is_no_text_is_refused_in_words(address: object, comfyui: ComfyUI) -> None:
    prompt = graph(apply={"directions": ["file", 0]})
    prompt["file"] = node("LoadDirections", file="any.safetensors", address=address)
    assert "expected a text" in refusal(comfyui, prompt)


def test_a_direction_file_of_the_node_works_on_the_command_line_and_back(
    comfyui: ComfyUI, tmp_path: Path
) -> None:
    prompt = graph()
    prompt["save"] = node(
        "SaveDirections",
        directions=["factorize", 0],
        filename="shared/mouth",
        names="open\n\nteeth",
        title="Mouth",
        description="Of one face.",
        author="A",
        license="CC0-1.0",
    )
    [said] = comfyui.run(prompt)["save"]["text"]
    comfyui.run(prompt)
    file = comfyui.base / "models" / "stylegan_directions" / "shared" / "mouth.safetensors"
    assert said == f"saved {file}"
    assert not file.with_name("mouth_2.safetensors").exists()
    directions = resefa.Directions.load(file)
    assert directions.names == ("open", "direction 1", "teeth")
    assert (directions.title, directions.author, directions.license) == ("Mouth", "A", "CC0-1.0")
    assert directions.thumbnail is not None
    assert directions.seeds == (7,)
    edited = tmp_path / "edited.png"
    arguments = ["edit", str(file), "--seed", "7", "--move", "open=3", "--output", str(edited)]
    assert cli.main(arguments) == 0
    by_node = pixels(comfyui, comfyui.run(graph())["image"])
    with Image.open(edited) as picture:
        by_command = np.asarray(picture.convert("RGB")).astype(np.float32)
    assert np.abs(by_node - by_command).max() <= 2

    made = comfyui.base / "models" / "stylegan_directions" / "made.safetensors"
    arguments = ["factorize", "--region", "eyes", "--seed", "7", "--layers", "2-3", "--all"]
    arguments += ["--output", str(made)]
    assert cli.main(arguments) == 0
    load = graph(apply={"directions": ["file", 0], "direction": "eyes 0"})
    load["file"] = node("LoadDirections", file="made.safetensors")
    outputs = comfyui.run(load)
    assert "eyes of avatars" in outputs["file"]["text"][0]
    first = pixels(comfyui, outputs["image"])

    shutil.copy(file, made)
    changed = comfyui.run(graph(apply={"directions": ["file", 0], "direction": "0"}) | {"file": load["file"]})
    assert changed["file"]["text"][0].startswith("Mouth")
    assert np.abs(pixels(comfyui, changed["image"]) - first).max() > 20


def test_directions_come_from_the_hub(comfyui: ComfyUI, hub: HubServer, tmp_path: Path) -> None:
    session = resefa.Session(resefa.load_generator("avatars"), seed=7)
    session.find("mouth", quick=True, count=2)
    file = tmp_path / "directions.safetensors"
    session.save(file, title="Mouths of Ada")
    hub.repos["ada/mouths"] = Repo(
        files={"directions.safetensors": file.read_bytes(), "bad.safetensors": b"x"}
    )
    prompt = graph(apply={"directions": ["file", 0], "direction": "0"})
    for address in ("hf://ada/mouths", " hf://ada/mouths/directions.safetensors\n"):
        prompt["file"] = node("LoadDirections", file="(no file)", address=address)
        assert comfyui.run(prompt)["file"]["text"][0].startswith("Mouths of Ada")
    assert not any(seen.authorization for seen in hub.seen)
    for address, words in (
        ("hf://ada/none", "not found"),
        ("hf://ada/mouths/bad.safetensors", "ada/mouths/bad.safetensors"),
        ("hf://ada/mouths/../x.safetensors", "is no direction file"),
        ("http://evil.example/x.safetensors", "is no repository of the Hub"),
    ):
        prompt["file"] = node("LoadDirections", file="(no file)", address=address)
        assert words in refusal(comfyui, prompt), address


def test_directions_come_from_an_atlas(comfyui: ComfyUI, hub: HubServer) -> None:
    avatars = resefa.load_generator("avatars")
    plan = Plan.of(avatars, range(2), ["mouth", "eyes"])
    atlas = build_atlas(avatars, plan, count=2, measured=1)
    folder = comfyui.base / "models" / "stylegan_atlases"
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "avatars.safetensors"
    atlas.save(file, overwrite=True)
    hub.repos["ada/avatars"] = Repo(files={"atlas.safetensors": file.read_bytes()})
    joint = atlas["eyes"].joint
    assert joint is not None
    prompt = graph(apply={"directions": ["atlas", 0], "direction": joint.directions.names[0]})
    for given in (
        {"file": "avatars.safetensors", "region": " eyes"},
        {"file": "(no file)", "address": "hf://ada/avatars", "region": "eyes"},
    ):
        prompt["atlas"] = node("LoadAtlas", **given)
        outputs = comfyui.run(prompt)
        said = outputs["atlas"]["text"][0]
        assert said.startswith("avatars: eyes")
        assert said.endswith("regions: mouth, eyes")
        session = resefa.Session(avatars, seed=7)
        moved = resefa.move(session.original, session.here(joint.directions), {0: 3.0})
        expected = np.asarray(resefa.to_pil(avatars.synthesize(moved)[0])).astype(np.float32)
        assert np.abs(pixels(comfyui, outputs["image"]) - expected).max() <= 2
    (folder / "damaged.safetensors").write_bytes(file.read_bytes()[:-9])
    directions = comfyui.base / "models" / "stylegan_directions" / "an_atlas.safetensors"
    directions.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(file, directions)
    joint.directions.save(folder / "directions.safetensors", overwrite=True)
    for name, given, words in (
        ("LoadAtlas", {"file": "avatars.safetensors", "region": "nose"}, "expected one of mouth, eyes"),
        ("LoadAtlas", {"file": "damaged.safetensors"}, "damaged.safetensors"),
        ("LoadAtlas", {"file": "directions.safetensors"}, "not an atlas"),
        ("LoadAtlas", {"file": "../../secret.safetensors"}, "there is no atlas"),
        ("LoadAtlas", {"file": "x", "address": "hf://ada/none"}, "not found"),
        ("LoadDirections", {"file": "an_atlas.safetensors"}, "Load Atlas"),
    ):
        prompt["atlas"] = node(name, **given)
        assert words in refusal(comfyui, prompt), given


def test_directions_of_other_images_are_adapted_to_one(comfyui: ComfyUI) -> None:
    file = comfyui.base / "models" / "stylegan_directions" / "others.safetensors"
    file.parent.mkdir(parents=True, exist_ok=True)
    found = resefa.Session(resefa.load_generator("avatars"), seed=13)
    found.find("box:mouth", space="w", count=2, samples=2, only_good=False)
    found.save(file)
    prompt = graph(apply={"directions": ["adapt", 0]})
    prompt["file"] = node("LoadDirections", file="others.safetensors")
    prompt["adapt"] = node("AdaptDirections", gan=["load", 0], latent=["sample", 0], directions=["file", 0])
    adapted = comfyui.run(prompt)
    plain = comfyui.run(prompt | {"apply": graph(apply={"directions": ["file", 0]})["apply"]})
    before = pixels(comfyui, comfyui.run(graph(apply={"strength": 0.0}))["image"])
    changes = [pixels(comfyui, outputs["image"]) - before for outputs in (adapted, plain)]
    inside = within(resefa.Directions.load(file).region, before)
    ratios = [np.square(each)[inside].mean() / np.square(each)[~inside].mean() for each in changes]
    assert ratios[0] > 1.5 * ratios[1]
    assert np.square(changes[0])[inside].mean() > 20

    prompt["file"] = node("LoadDirections", file="avatars-mouth")
    prompt["adapt"]["inputs"]["directions"] = ["factorize", 0]
    prompt["factorize"]["inputs"] |= {"method": "resefa-confined", "space": "w"}
    assert "act everywhere" in refusal(comfyui, prompt)


def test_a_file_of_another_model_says_both(comfyui: ComfyUI) -> None:
    vectors = np.random.RandomState(0).randn(1, 512).astype(np.float32)
    folder = comfyui.base / "models" / "stylegan_directions"
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "stylegan2_ffhq_mouth.npy", vectors)
    known = next(iter(sorted(PUBLISHED)))
    np.save(folder / f"{known}.npy", vectors)
    prompt = graph(apply={"directions": ["file", 0]})
    prompt["file"] = node("LoadDirections", file=f"{known}.npy")
    said = refusal(comfyui, prompt)
    assert known in said
    assert "avatars" in said
    prompt["file"] = node("LoadDirections", file="../../secret.safetensors")
    assert "there is no direction file" in refusal(comfyui, prompt)


def test_files_of_other_projects_open(comfyui: ComfyUI) -> None:
    folder = comfyui.base / "models" / "stylegan_directions"
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(5.0 * torch.eye(1, 128), folder / "age.pt")
    np.save(comfyui.base / "input" / "ten.npy", np.random.RandomState(0).randn(10, 128).astype(np.float32))
    prompt = graph(apply={"directions": ["file", 0]})
    prompt["file"] = node("LoadDirections", file="age.pt")
    assert "give a space" in refusal(comfyui, prompt)
    prompt["file"] = node("LoadDirections", file="age.pt", space="w", gan=["load", 0])
    assert "layers 0 to 9" in comfyui.run(prompt)["file"]["text"][0]
    prompt["apply"]["inputs"]["latent"] = ["codes", 0]
    prompt["codes"] = node("LoadGANLatent", gan=["load", 0], file="ten.npy")
    outputs = comfyui.run(prompt)
    assert "they might be 10 images in w" in outputs["codes"]["text"][0]
    assert len(outputs["codes"]["images"]) == 1
    prompt["codes"] = node("LoadGANLatent", gan=["load", 0], file="ten.npy", rows="images")
    assert len(comfyui.run(prompt)["codes"]["images"]) == 10
    prompt["codes"] = node("LoadGANLatent", gan=["load", 0], file="made.npy")
    np.save(comfyui.base / "input" / "made.npy", np.eye(128, dtype=np.float32)[:1])
    assert "it is a direction file" in refusal(comfyui, prompt)


def test_a_saved_image_carries_its_latent(comfyui: ComfyUI) -> None:
    prompt = graph(apply={"confine": 0.5})
    prompt["save"] = node(
        "SaveGANImage", image=["apply", 1], latent=["apply", 0], filename_prefix="gan_latents/edited"
    )
    saved = comfyui.run(prompt)["save"]
    file = comfyui.picture(saved["images"][0])
    with Image.open(file) as picture:
        assert json.loads(picture.info["prompt"])["load"]["class_type"] == "ReSeFa_LoadGAN"
    loaded = {
        "load": node("LoadGAN", name="avatars"),
        "latent": node("LoadGANLatent", gan=["load", 0], file=f"gan_latents/{file.name} [output]"),
        "keep": node("SaveGANLatent", latent=["latent", 0], filename="kept"),
        "image": {"class_type": "PreviewImage", "inputs": {"images": ["latent", 1]}},
    }
    outputs = comfyui.run(loaded)
    assert np.abs(pixels(comfyui, outputs["image"]) - pixels(comfyui, saved)).max() <= 1
    kept = resefa.Latent.load(comfyui.base / "output" / "gan_latents" / "kept.safetensors")
    assert len(kept.confined) == 1


def test_what_the_stylegan_packs_make_is_taken_up(comfyui: ComfyUI) -> None:
    codes = torch.randn(2, 10, 128, generator=torch.Generator().manual_seed(5))
    generator = resefa.load_generator("avatars")
    expected = generator.synthesize(resefa.Latent(codes=codes))
    prompt = {
        "load": node("LoadGAN", name="avatars"),
        "theirs": {"class_type": "TestStyleGANLatent", "inputs": {"seed": 5, "dimensions": 3}},
        "vectors": {"class_type": "TestStyleGANDirections", "inputs": {}},
        "latent": node("FromStyleGANLatent", gan=["load", 0], stylegan_latent=["theirs", 0]),
        "directions": node("FromStyleGANDirections", gan=["load", 0], stylegan_directions=["vectors", 0]),
        "apply": node(
            "ApplyDirection",
            gan=["load", 0],
            latent=["latent", 0],
            directions=["directions", 0],
            direction="2",
            strength=2.0,
            confine=0.0,
            confine_feather=0.0,
        ),
        "image": {"class_type": "PreviewImage", "inputs": {"images": ["latent", 1]}},
        "moved": {"class_type": "PreviewImage", "inputs": {"images": ["apply", 1]}},
    }
    outputs = comfyui.run(prompt)
    shown = pixels(comfyui, outputs["image"])
    np.testing.assert_allclose(shown, np.asarray(resefa.to_pil(expected[0])), atol=1)
    codes[:, :, 2] += 2.0 * 3.0  # strengths count in their vectors as they are
    expected = generator.synthesize(resefa.Latent(codes=codes))
    moved = pixels(comfyui, outputs["moved"])
    np.testing.assert_allclose(moved, np.asarray(resefa.to_pil(expected[0])), atol=1)
    prompt["theirs"]["inputs"]["dimensions"] = 2
    assert "noise (B, D) is not one" in refusal(comfyui, prompt)


def test_a_generator_file_is_loaded_again_when_its_content_changes(comfyui: ComfyUI) -> None:
    folder = comfyui.base / "models" / "stylegan"
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(BUNDLED, folder / "faces.safetensors")
    prompt = graph(load={"name": "faces.safetensors"})
    first = comfyui.run(prompt)
    write_brighter(folder / "faces.safetensors", 0.5)
    second = comfyui.run(prompt)
    change = pixels(comfyui, second["sample"]) - pixels(comfyui, first["sample"])
    assert np.median(change) > 30
    assert not any("text" in second[name] for name in ("sample", "apply"))
    (folder / "broken.safetensors").write_bytes(b"\x08" + bytes(20))
    said = refusal(comfyui, graph(load={"name": "broken.safetensors"}))
    assert "broken.safetensors" in said


def test_classes_are_sampled_by_name_and_edited(comfyui: ComfyUI) -> None:
    folder = comfyui.base / "models" / "stylegan"
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    generator = resefa.BigGAN(z_dim=12, num_classes=1000, shared_dim=7, channels=(12, 16, 8), attention=(0,))
    save_biggan(folder / "classes.pth", generator.eval())
    box = {"x": 4, "y": 4, "width": 6, "height": 6}

    def prompt(**sample: Any) -> Prompt:
        return graph(
            load={"name": "classes.pth"},
            sample={"truncation": 1.0, **sample},
            region={"box": box},
            factorize={"layers": "all"},
            apply={"strength": 1.0, "confine": 1.0},
        )

    named = comfyui.run(prompt(class_name="Golden Retriever"))
    assert "classes: 1000" in named["load"]["text"][0]
    numbered = comfyui.run(prompt(class_index=207))
    other = comfyui.run(prompt(class_name="tabby"))
    shown = [pixels(comfyui, outputs["sample"]) for outputs in (named, numbered, other)]
    np.testing.assert_array_equal(shown[0], shown[1])
    assert np.abs(shown[0] - shown[2]).mean() > 1
    change = np.abs(pixels(comfyui, named["image"]) - shown[0]).mean(axis=2)
    inside = np.zeros_like(change, dtype=bool)
    inside[4:10, 4:10] = True
    assert change[inside].mean() > 2 * change[~inside].mean()

    assert "golden retriever (207)" in refusal(comfyui, prompt(class_name="retriever"))
    assert "there is no class" in refusal(comfyui, prompt(class_name="xyzzy"))
    assert "out of range" in refusal(comfyui, prompt(class_index=1000))


def test_a_latent_of_other_weights_is_noted(comfyui: ComfyUI) -> None:
    folder = comfyui.base / "models" / "stylegan"
    folder.mkdir(parents=True, exist_ok=True)
    write_brighter(folder / "other.safetensors", 0.1)
    prompt = graph()
    prompt["other"] = node("LoadGAN", name="other.safetensors")
    prompt["apply"]["inputs"]["gan"] = ["other", 0]
    notes = comfyui.run(prompt)["apply"]["text"]
    assert len(notes) == 2
    assert any("latent was made with another generator" in note for note in notes)
    assert any("directions were made with avatars" in note for note in notes), notes


def test_mixing_sweeping_and_the_other_packs_sockets(comfyui: ComfyUI) -> None:
    prompt = graph()
    prompt["other"] = node(
        "SampleGANLatent", gan=["load", 0], seed=3, truncation=0.7, batch_size=1, class_index=0
    )
    prompt["mix"] = node(
        "MixLatents",
        gan=["load", 0],
        first=["sample", 0],
        second=["other", 0],
        amount=1.0,
        layers="all",
        layer_list="",
    )
    prompt["sweep"] = node(
        "DirectionSweep",
        gan=["load", 0],
        latent=["mix", 0],
        directions=["factorize", 0],
        direction="-1",
        first=-2.0,
        last=2.0,
        frames=5,
        confine=0.0,
        confine_feather=0.0,
    )
    prompt["image"]["inputs"]["images"] = ["sweep", 0]
    outputs = comfyui.run(prompt)
    assert len(outputs["image"]["images"]) == 5
    np.testing.assert_allclose(pixels(comfyui, outputs["mix"]), pixels(comfyui, outputs["other"]), atol=1)
    wrong = graph()
    wrong["convert"] = node("FromStyleGANLatent", gan=["load", 0], stylegan_latent=["sample", 0])
    wrong["image"]["inputs"]["images"] = ["convert", 1]
    assert "mismatch" in refusal(comfyui, wrong)
