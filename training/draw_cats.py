"""Draw cats for training, with what they were drawn from.

    pip install --no-deps robohash
    python training/draw_cats.py OUTPUT_DIR [COUNT] [--size 128] [--first 0]

The cats are David Revoy's (CC BY 4.0), as `robohash` packages them. OUTPUT_DIR receives what `draw_faces.mjs`
writes for faces: `faces.npy`, uint8 of shape (COUNT, SIZE, SIZE, 3), and `labels.json`. A cat is a body, a
pattern of fur, eyes, a mouth and an accessory, one layer over the other, on a plain colour. Any body comes in
any colour, and patterns are drawn more strongly than in the originals, so that they show at this size. Eyes
vary in size and position, mouths in width and position, the cat and its background in lightness and warmth.
Cat number i is the same on every machine.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

BACKGROUNDS = ("b6e3f4", "c0aede", "d1d4f9", "ffd5dc", "ffdfbf", "d5f0c8")
FURS = (
    *("4c4c50", "828282", "fbf6cb", "885f49", "ffa650", "e1b55d", "f16a98"),
    *("86b3f2", "a8e95b", "bb98b1", "f26a5d", "8c4750"),
)
SHAPES = ("eyeSize", "eyePosition", "mouthWidth", "mouthPosition")
COLOURS = ("furColorLightness", "furColorWarmth", "backgroundColorLightness", "backgroundColorWarmth")
VARIATIONS = (*SHAPES, *COLOURS)
MIDDLES = {"eyes": (0.70, 0.41), "mouth": (0.74, 0.59)}
"""The middle of their layers, about which they are scaled: x and y, as fractions of the picture."""

DETAIL = (0.26, 0.66, 0.32, 0.98)
"""Where eyes and mouth lie: top, bottom, left, right, as fractions of the picture."""
NAMES = {
    "body": "curly ragged tufted wisp flames - spirals blocks fluffy spiky - hooked - smooth plain",
    "fur": "striped tiger none swirls darkPatches lightPatches none lightSnout - spotted",
    "eyes": "round narrow dots worried - square smiling surprised - - winged - glasses tall lashes",
    "mouth": "open broadCurl whistling laughing openWide - curl - teeth singing",
    "accessories": "redScarf bell redCollar headband redBow blackHat - blueScarf barrel - "
    "- bandana blueBow redHat - none",
}
"""What the layers of each part show, in the order of the package's files; `-` is left out."""
PARTS = tuple(NAMES)
WORN = {
    "hat": "headband redBow blackHat bandana blueBow redHat",
    "scarf": "redScarf blueScarf",
    "collar": "bell redCollar barrel",
}
"""What accessories are parts of."""
SEEN = ("background", "fur", "eyes", "mouth", *WORN)
"""The parts that a cat's picture can have."""
SCARVES = ("redScarf", "blueScarf")
ABOUT = {
    "title": "cats",
    "description": "drawn cats",
    "license": "CC BY 4.0",
    "author": "David Revoy, whose cats robohash packages",
}

_PATTERN_OPACITY = 0.6
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_LIGHTNESS = np.array([10.0, 10.0, 10.0], np.float32)
_WARMTH = np.array([7.0, 0.0, -7.0], np.float32)

Pixels = NDArray[np.float32]


class Layers(NamedTuple):
    """The layers of each part, `(layers, side, side, 4)` in [0, 1], times their opacity, and each one's
    value; layers that show nothing have the same one."""

    values: dict[str, list[str]]
    pixels: dict[str, Pixels]

    def named(self) -> dict[str, list[str]]:
        """The values of each attribute, each once."""
        return {name: list(dict.fromkeys(values)) for name, values in self.values.items()}


def read_layers(side: int) -> Layers:
    """The package's layers, reduced to a side; bodies lose their colour, patterns get stronger."""
    found = importlib.util.find_spec("robohash")
    if found is None or not found.submodule_search_locations:
        raise SystemExit("the cats are in robohash: pip install --no-deps robohash")
    folders = sorted((Path(found.submodule_search_locations[0]) / "sets" / "set4").iterdir())
    values: dict[str, list[str]] = {}
    pixels: dict[str, Pixels] = {}
    for (part, names), folder in zip(NAMES.items(), folders, strict=True):
        files = zip(names.split(), sorted(folder.glob("*.png")), strict=True)
        shown = [(name, file) for name, file in files if name != "-"]
        values[part] = [name for name, _ in shown]
        pixels[part] = np.stack([_reduced(file, side) for _, file in shown])
    pixels["body"] = np.stack([_colourless(body) for body in pixels["body"]])
    pixels["fur"] = np.stack([_stronger(fur) for fur in pixels["fur"]])
    return Layers(values | {"furColor": list(FURS), "backgroundColor": list(BACKGROUNDS)}, pixels)


def _colourless(body: Pixels) -> Pixels:
    """A body whose brightness is a multiple of what most of it has, to be multiplied by a colour."""
    brightness = body[..., :3] @ _LUMA
    usual = np.median(brightness[body[..., 3] > 0.95])
    return np.concatenate([np.repeat((brightness / usual)[..., None], 3, axis=2), body[..., 3:]], axis=2)


def _stronger(fur: Pixels) -> Pixels:
    """A pattern at the opacity that all have here."""
    opacity = fur[..., 3]
    return fur if not opacity.any() else fur * (_PATTERN_OPACITY / np.percentile(opacity[opacity > 0.05], 90))


def _reduced(file: Path, side: int) -> Pixels:
    """A layer times its opacity, averaged over areas."""
    whole = np.asarray(Image.open(file).convert("RGBA"), np.float32) / 255.0
    whole[..., :3] *= whole[..., 3:]
    factor = whole.shape[0] // side
    return whole.reshape(side, factor, side, factor, 4).mean(axis=(1, 3), dtype=np.float32)


def moved(layer: Pixels, part: str, scale: tuple[float, float], down: float) -> Pixels:
    """A layer scaled about its part's middle by (across, along), and moved down by a fraction of its side."""
    side = len(layer)
    x, y = (side * at for at in MIDDLES[part])
    across, along = scale
    affine = (1 / across, 0.0, x - x / across, 0.0, 1 / along, y - (y + down * side) / along)
    change = partial(
        Image.Image.transform,
        size=(side, side),
        method=Image.Transform.AFFINE,
        data=affine,
        resample=Image.Resampling.BILINEAR,
    )
    return np.stack([np.asarray(change(Image.fromarray(channel))) for channel in layer.transpose(2, 0, 1)], 2)


def _eyes(layer: Pixels, amounts: dict[str, float]) -> Pixels:
    size = 1.0 + 0.06 * amounts["eyeSize"]
    return moved(layer, "eyes", (size, size), 0.012 * amounts["eyePosition"])


def _mouth(layer: Pixels, amounts: dict[str, float]) -> Pixels:
    width = 1.0 + 0.12 * amounts["mouthWidth"]
    return moved(layer, "mouth", (width, 1.0), 0.012 * amounts["mouthPosition"])


_CHANGES = {"eyes": _eyes, "mouth": _mouth}


def draw(index: int, layers: Layers) -> tuple[NDArray[np.uint8], dict[str, int], dict[str, float]]:
    """A cat `(side, side, 3)`, each attribute's value, and each variation's amount in standard deviations."""
    random = np.random.RandomState(index)
    chosen_layers = {name: int(random.randint(len(values))) for name, values in layers.values.items()}
    amounts = {name: round(_normal(random), 3) for name in VARIATIONS}
    chosen = {part: layers.pixels[part][chosen_layers[part]] for part in PARTS}
    for part, change in _CHANGES.items():
        chosen[part] = change(chosen[part], amounts)
    side = len(chosen["body"])
    fur, background = (
        _colour(values[chosen_layers[name]], amounts, name)
        for name, values in (("furColor", FURS), ("backgroundColor", BACKGROUNDS))
    )
    chosen["body"] = np.concatenate([chosen["body"][..., :3] * fur, chosen["body"][..., 3:]], axis=2)
    canvas: Pixels = np.broadcast_to(background, (side, side, 3))
    for part in PARTS:
        canvas = canvas * (1.0 - chosen[part][..., 3:]) + chosen[part][..., :3]
    values, named = layers.values, layers.named()
    drawn = {name: named[name].index(values[name][layer]) for name, layer in chosen_layers.items()}
    return (canvas.clip(0.0, 1.0) * 255.0).round().astype(np.uint8), drawn, amounts


def parts_of(index: int, layers: Layers) -> NDArray[np.int64]:
    """Which of `SEEN` each pixel of a cat shows, `(side, side)`."""
    _, drawn, amounts = draw(index, layers)
    named = layers.named()
    seen = np.zeros(layers.pixels["body"].shape[1:3], np.int64)
    for part in PARTS:
        value = named[part][drawn[part]]
        worn = (name for name, values in WORN.items() if value in values.split())
        name = {"body": "fur", "accessories": next(worn, "")}.get(part, part)
        layer = layers.pixels[part][layers.values[part].index(value)]
        if name in _CHANGES:
            layer = _CHANGES[name](layer, amounts)
        if name:
            seen[layer[..., 3] > 0.5] = SEEN.index(name)
    return seen


def _colour(value: str, amounts: dict[str, float], name: str) -> Pixels:
    """A colour `(3,)` in [0, 1], lighter or darker and warmer or colder by its amounts."""
    plain = np.array(list(bytes.fromhex(value)), np.float32)
    lightness, warmth = amounts[f"{name}Lightness"], amounts[f"{name}Warmth"]
    return (plain + _LIGHTNESS * lightness + _WARMTH * warmth) / np.float32(255.0)


def _normal(random: np.random.RandomState) -> float:
    """A normal number of at most 2 either way."""
    while True:
        value = float(random.randn())
        if abs(value) <= 2.0:
            return value


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("output", type=Path)
    parser.add_argument("count", type=int, nargs="?", default=50_000)
    parser.add_argument("--size", type=int, default=128, help="a power of two (%(default)s)")
    parser.add_argument("--first", type=int, default=0, help="the first cat's number (%(default)s)")
    options = parser.parse_args()
    layers = read_layers(options.size)
    options.output.mkdir(parents=True, exist_ok=True)
    shape = (options.count, options.size, options.size, 3)
    cats = np.lib.format.open_memmap(options.output / "faces.npy", "w+", np.uint8, shape)
    values = layers.named()
    labels: dict[str, list[int]] = {name: [] for name in values}
    variations: dict[str, list[float]] = {name: [] for name in VARIATIONS}
    for index in tqdm(range(options.count), unit="cat"):
        cats[index], drawn, amounts = draw(options.first + index, layers)
        for name, value in drawn.items():
            labels[name].append(value)
        for name, amount in amounts.items():
            variations[name].append(amount)
    cats.flush()
    without_scarf = [value for value in values["accessories"] if value not in SCARVES]
    told = {
        "values": values,
        "labels": labels,
        "variations": variations,
        "seenWith": {"mouth": ["accessories", without_scarf]},
        "detail": DETAIL,
        "about": ABOUT,
    }
    (options.output / "labels.json").write_text(json.dumps(told))


if __name__ == "__main__":
    main()
