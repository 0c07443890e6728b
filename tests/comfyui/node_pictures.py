"""Photographs the nodes in ComfyUI for their help pages, the templates, and the graphs of docs/comfyui.md.

    COMFYUI_DIR=/path/to/ComfyUI python tests/comfyui/node_pictures.py [NAME ...]

Writes `web/docs/ReSeFa_NAME.jpg` of nodes, `example_workflows/NAME.jpg` of templates, and for `comfyui` the
pictures `docs/comfyui.jpg` and `docs/comfyui-classic.jpg`: all of them, or those that are named. With
`make_a_video` comes `docs/registry-banner.jpg`. That of `edit_your_own_picture` is not made here.
"""

from __future__ import annotations

import io
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parents[2]), str(Path(__file__).resolve().parents[1])]

from browsing import (  # noqa: E402
    ARGUMENTS,
    CHROMIUM,
    SETTINGS,
    SIZE,
    WAIT_MILLISECONDS,
    drag_box,
    fit,
    open_template,
    run,
)
from comfy_server import ROOT, ComfyUI  # noqa: E402
from PIL import Image  # noqa: E402
from playwright.sync_api import Browser, sync_playwright  # noqa: E402

import resefa_core as resefa  # noqa: E402
from resefa_core.atlas import Plan, build_atlas  # noqa: E402
from resefa_core.defaults import SHOWN_FIRST  # noqa: E402

GAN = {"gan": "LoadGAN.0"}
FACE = GAN | {"latent": "PickLatents.0"}
EDIT = FACE | {"directions": "FactorizeRegion.0"}
NODES: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    "LoadGAN": ({}, {}),
    "SampleGANLatent": ({"seed": 29, "batch_size": 3}, GAN),
    "PickLatents": ({}, GAN | {"latent": "SampleGANLatent.0"}),
    "SelectRegion": ({}, {"image": "PickLatents.1"}),
    "FactorizeRegion": ({"num_directions": 4}, FACE | {"region": "SelectRegion.0"}),
    "AdaptDirections": ({}, {**GAN, "latent": "SampleGANLatent.0", "directions": "FactorizeRegion.0"}),
    "ApplyDirection": ({}, EDIT),
    "DirectionSliders": ({"strengths": "0=3\n1=-2"}, EDIT),
    "DirectionSweep": ({"frames": 9}, EDIT),
    "EditFrames": ({"frames": 12, "keyframes": "0 = 0:0, 3:4, 9:-4"}, EDIT),
    "SplitLatents": ({}, {"latent": "SampleGANLatent.0"}),
    "JoinLatents": ({}, GAN | {"latents.latent0": "SplitLatents.1", "latents.latent1": "SplitLatents.0"}),
    "AverageLatents": ({}, GAN | {"latent": "SampleGANLatent.0"}),
    "MixLatents": ({}, GAN | {"first": "PickLatents.0", "second": "AverageLatents.0"}),
    "WalkLatents": ({"frames": 12}, GAN | {"latent": "SampleGANLatent.0"}),
    "GANParts": ({}, FACE),
    "LoadGANParts": ({}, GAN),
    "ImageDifference": ({}, {"before": "PickLatents.1", "after": "ApplyDirection.1"}),
    "SaveDirections": ({"names": "wider\nhigher", "filename": "mouth"}, {"directions": "FactorizeRegion.0"}),
    "LoadDirections": ({"file": "mouth.safetensors"}, {}),
    "LoadAtlas": ({"region": "eyes"}, {}),
    "SaveGANLatent": ({}, {"latent": "PickLatents.0"}),
    "LoadGANLatent": ({}, GAN),
    "SaveGANImage": ({}, {"image": "ApplyDirection.1", "latent": "ApplyDirection.0"}),
    "InvertImage": ({"steps": 100}, GAN | {"image": "PickLatents.1"}),
    "PasteEdit": ({}, GAN | {"image": "PickLatents.1", "latent": "InvertImage.0"}),
    "FromStyleGANLatent": ({}, GAN),
    "FromStyleGANDirections": ({}, GAN),
}
NOT_RUN = ("FromStyleGANLatent", "FromStyleGANDirections")
"""Their inputs come from other packs."""
GRAPHS = "comfyui"
SAVED = ("SaveImage",)
EXAMPLES = {
    "build_a_direction_file": ("ReSeFa_DirectionSweep", "PreviewImage"),
    "edit_a_face_part": ("ReSeFa_SelectRegion", "ReSeFa_FactorizeRegion"),
    "finish_a_face": SAVED,
    "make_a_video": ("ReSeFa_EditFrames", "CreateVideo", "SaveVideo"),
    "many_sliders": ("ReSeFa_FactorizeRegion", "ReSeFa_DirectionSliders"),
}
"""What is photographed of templates: nodes, or the image that is saved."""
COLUMNS, WIDTH, HEIGHT = 7, 520, 1400
NARROW, LOW, MARGIN = 400, 60, 14
WINDOW = {"width": 1720, "height": 1400}
BUILD = """
async ({ nodes, links, columns, width, height, narrow, low }) => {
  app.graph.clear();
  const made = {};
  for (const [index, [name, values]] of Object.entries(Object.entries(nodes))) {
    const node = (made[name] = LiteGraph.createNode(`ReSeFa_${name}`));
    app.graph.add(node);
    node.pos = [(index % columns) * width, Math.floor(index / columns) * height];
    node.setSize([narrow, low]);
    for (const [key, value] of Object.entries(values)) {
      const widget = node.widgets.find((each) => each.name === key);
      widget.value = value;
      widget.callback?.(value);
    }
    for (const widget of node.widgets ?? []) {
      const files = widget.name === "file" && !("file" in values) ? widget.options.values : [];
      if (files.length) widget.value = files.at(-1);
    }
  }
  for (const [from, slot, to, input] of links) {
    const place = made[to].inputs.findIndex((each) => each.name === input);
    made[from].connect(slot, made[to], place);
  }
}
"""
ADD_PREVIEWS = """
(names) => {
  for (const [index, name] of names.entries()) {
    const node = app.graph.nodes.find((each) => each.type === `ReSeFa_${name}`);
    const slot = node.outputs.findIndex((output) => output.type === "IMAGE");
    const preview = LiteGraph.createNode(slot < 0 ? "PreviewAny" : "PreviewImage");
    app.graph.add(preview);
    preview.pos = [-600, index * 300];
    node.connect(Math.max(slot, 0), preview, 0);
  }
}
"""
CENTRE = """
(kinds) => {
  const nodes = app.graph.nodes.filter((node) => kinds.includes(node.type));
  const { ds, canvas } = app.canvas, { width, height } = canvas.getBoundingClientRect();
  const middle = (axis) => {
    const low = Math.min(...nodes.map((node) => node.pos[axis]));
    return (low + Math.max(...nodes.map((node) => node.pos[axis] + node.size[axis]))) / 2;
  };
  ds.scale = 1;
  ds.offset[0] = width / 2 - middle(0);
  ds.offset[1] = height / 2 - middle(1);
  app.canvas.setDirty(true, true);
  return nodes.map((node) => node.id);
}
"""
LARGEST = (428, 800)
LARGEST_EXAMPLE = (490, 450)
BANNER, BANNER_FACES, BACKGROUND = (1260, 540), (5, 2), (24, 24, 27)
QUALITY = 82


def main(names: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        base = Path(folder) / "comfyui"
        write_files(base)
        comfyui = ComfyUI(base)
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        try:
            wanted = names or [*NODES, *EXAMPLES, GRAPHS]
            nodes = [name for name in wanted if name in NODES]
            if nodes:
                photograph_nodes(browser, comfyui, nodes)
            for name in EXAMPLES:
                if name in wanted:
                    photograph_example(browser, comfyui, name)
            if GRAPHS in wanted:
                photograph_graph(browser, comfyui, ROOT / "docs" / "comfyui.jpg", nodes2=True)
                photograph_graph(browser, comfyui, ROOT / "docs" / "comfyui-classic.jpg", nodes2=False)
        finally:
            browser.close()
            comfyui.stop()


def write_files(base: Path) -> None:
    """A file for each node that loads one."""
    session = resefa.Session(resefa.load_generator(SHOWN_FIRST), seed=29)
    session.find("box:mouth", count=4)
    for name in ("models/stylegan_directions", "models/stylegan_parts", "models/stylegan_atlases", "input"):
        (base / name).mkdir(parents=True)
    session.save(base / "models" / "stylegan_directions" / "mouth.safetensors", title="Mouths")
    parts = resefa.parts_of_generator(session.generator)
    assert parts is not None
    parts.save(base / "models" / "stylegan_parts" / f"{SHOWN_FIRST}.safetensors")
    plan = Plan.of(session.generator, range(4), ["mouth", "eyes", "hair"])
    atlas = build_atlas(session.generator, plan, count=4, measured=2)
    atlas.save(base / "models" / "stylegan_atlases" / f"{SHOWN_FIRST}.safetensors")
    session.generator.sample(29, 0.7).save(base / "input" / "face.safetensors")


def opened(browser: Browser, comfyui: ComfyUI, nodes2: bool, size: Any = SIZE) -> Any:
    comfyui.post("/settings", {**SETTINGS, "Comfy.VueNodes.Enabled": nodes2})
    page = browser.new_page(viewport=size)
    page.set_default_timeout(WAIT_MILLISECONDS)
    page.interface = "nodes2" if nodes2 else "classic"
    page.goto(comfyui.url, wait_until="domcontentloaded")
    page.wait_for_function("() => window.app?.canvas && window.app.graph && window.app.extensionManager")
    page.wait_for_timeout(3000)
    return page


def photograph_nodes(browser: Browser, comfyui: ComfyUI, names: list[str]) -> None:
    page = opened(browser, comfyui, nodes2=True, size=WINDOW)
    links = [
        [*origin.split("."), name, socket]
        for name, (_, wired) in NODES.items()
        for socket, origin in wired.items()
    ]
    layout = {"columns": COLUMNS, "width": WIDTH, "height": HEIGHT, "narrow": NARROW, "low": LOW}
    values = {name: given for name, (given, _) in NODES.items()}
    links = [[origin, int(slot), name, socket] for origin, slot, name, socket in links]
    page.evaluate(BUILD, {"nodes": values, "links": links, **layout})
    page.evaluate(
        ADD_PREVIEWS, [name for name in NODES if name not in NOT_RUN and not name.startswith("Save")]
    )
    fit(page)
    run(page, comfyui)
    for name in names:
        shot = shot_of(page, [f"ReSeFa_{name}"])
        write(shot, ROOT / "web" / "docs" / f"ReSeFa_{name}.jpg", LARGEST)
    page.close()


def photograph_example(browser: Browser, comfyui: ComfyUI, name: str) -> None:
    page = opened(browser, comfyui, nodes2=True, size=WINDOW)
    outputs = run_template(page, comfyui, name)
    ids = page.evaluate(CENTRE, list(EXAMPLES[name]))
    images = [comfyui.picture(shown) for shown in outputs[str(ids[0])].get("images", [])]
    shot = Image.open(images[0]) if EXAMPLES[name] == SAVED else shot_of(page, EXAMPLES[name])
    write(shot, ROOT / "example_workflows" / f"{name}.jpg", LARGEST_EXAMPLE)
    if name == "make_a_video":
        write(banner(images), ROOT / "docs" / "registry-banner.jpg", BANNER)
    page.close()


def photograph_graph(browser: Browser, comfyui: ComfyUI, file: Path, nodes2: bool) -> None:
    page = opened(browser, comfyui, nodes2)
    run_template(page, comfyui, "edit_a_face_part")
    page.wait_for_timeout(8000)  # until ComfyUI's messages have gone
    fit(page)
    write(screenshot(page), file, (SIZE["width"], SIZE["height"]))
    page.close()


def run_template(page: Any, comfyui: ComfyUI, name: str) -> dict[str, Any]:
    """Open a template and run it, the first one with its box on the eyes; the outputs by node."""
    open_template(page, name)
    fit(page)
    outputs = run(page, comfyui)
    if name == "edit_a_face_part":
        drag_box(page)
        outputs = run(page, comfyui)
    return outputs


def shot_of(page: Any, kinds: Sequence[str]) -> Image.Image:
    """Nodes, and what is between them."""
    ids = page.evaluate(CENTRE, list(kinds))
    page.wait_for_timeout(1000)
    boxes = [page.locator(f'[data-node-id="{each}"]').first.bounding_box() for each in ids]
    left, top = (min(box[edge] for box in boxes) - MARGIN for edge in ("x", "y"))
    right = max(box["x"] + box["width"] for box in boxes) + MARGIN
    bottom = max(box["y"] + box["height"] for box in boxes) + MARGIN
    return screenshot(page, {"x": left, "y": top, "width": right - left, "height": bottom - top})


def screenshot(page: Any, clip: dict[str, float] | None = None) -> Image.Image:
    return Image.open(io.BytesIO(page.screenshot(clip=clip)))


def banner(frames: Sequence[Path]) -> Image.Image:
    """Frames of a film, evenly spread, in rows."""
    columns, rows = BANNER_FACES
    side = min(BANNER[0] // columns, BANNER[1] // rows)
    left, top = (BANNER[0] - columns * side) // 2, (BANNER[1] - rows * side) // 2
    made = Image.new("RGB", BANNER, BACKGROUND)
    for index in range(columns * rows):
        face = Image.open(frames[index * len(frames) // (columns * rows)]).convert("RGB")
        face = face.resize((side, side), Image.Resampling.LANCZOS)
        made.paste(face, (left + index % columns * side, top + index // columns * side))
    return made


def write(picture: Image.Image, file: Path, largest: tuple[int, int]) -> None:
    small = picture.convert("RGB")
    small.thumbnail(largest, Image.Resampling.LANCZOS)
    small.save(file, quality=QUALITY, optimize=True)
    print(f"{file.relative_to(ROOT)}: {small.width} x {small.height}, {file.stat().st_size} bytes")


if __name__ == "__main__":
    main(sys.argv[1:])
