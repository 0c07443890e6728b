"""Forged prompts: graphs with all nodes of the pack, damaged where its inputs and links are.

What is forged follows from what the server says of its nodes, so that a new node or input is covered at once.
"""

from __future__ import annotations

import copy
import json
import random
import re
import shutil
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import torch
from comfy_server import BUNDLED, ComfyUI, Prompt, graph, node

import resefa_core as resefa
from resefa_core.atlas import Plan, build_atlas

FOREIGN_NAME = "gut\udce9.safetensors"
PACK = "custom_nodes/resefa/"
OURS = "resefa."
PATIENCE = 300.0
_LONG = "A" * 100_000
_NUMBERS: list[Any] = [
    -1,
    0,
    1,
    2**31,
    2**63,
    -(2**63) - 1,
    10**400,
    0.5,
    -0.0,
    1e-320,
    1e308,
    1e999,
    -1e999,
    float("nan"),
]
_TEXTS: list[Any] = [
    *("", " ", "0", "-1", "nan", "1e999", "9" * 400, "0-999999999", "1," * 2000, "-" * 500),
    *("\ud800", FOREIGN_NAME, "\udfff\ud800", "a\x00b", "line\nbreak", "\x1b[2J", "\u202etxt"),
    *(
        "../../secret",
        "/etc/passwd",
        "~/latent",
        "..",
        ".",
        "...",
        "a/../../b",
        "a\\b",
        "C:\\x",
        "<face>",
        "%seed%",
    ),
    *(
        "a" * 300,
        "a/" * 300 + "b",
        _LONG,
        "avatars",
        "x [output]",
        "gan_latents/../../x [output]",
        "con",
        "é" * 200,
    ),
]
_OTHERS: list[Any] = [
    *(
        None,
        True,
        False,
        {},
        {"__value__": None},
        {"__value__": [1, 2]},
        {"__value__": "\ud800"},
        {"x": {"x": {}}},
    ),
    *([], [[]], [None], [1, 2, 3], {"x": 1, "y": 1, "width": 10**400, "height": 1}),
    *({"x": float("nan"), "y": 0, "width": 9, "height": 9}, {"x": 1, "y": 1, "width": "9", "height": True}),
    *(
        {"x": -(10**9), "y": 0, "width": 10**18, "height": 9},
        dict.fromkeys(("x", "y", "width", "height"), _LONG),
    ),
]
_VALUES: list[list[Any]] = [_NUMBERS, _TEXTS, _OTHERS]
_SOURCES: dict[str, list[Any]] = {
    "PrimitiveInt": [-(2**63) + 1, -1, 0, 2**31, 2**53, 2**63 - 1],
    "PrimitiveFloat": [float("nan"), 1e308, -1e308, 1e-320, float("inf")],
    "PrimitiveString": [text for text in _TEXTS if text != _LONG],
    "PrimitiveBoolean": [True, False],
}


def whole() -> Prompt:
    """A graph that runs, with every node of the pack."""
    prompt = graph(factorize={"num_directions": 1})
    apply = prompt["apply"]["inputs"]
    edit = {
        name: apply[name]
        for name in ("gan", "latent", "directions", "direction", "confine", "confine_feather")
    }
    prompt |= {
        "mix": node(
            "MixLatents",
            gan=["load", 0],
            first=["sample", 0],
            second=["apply", 0],
            amount=0.5,
            layers="all",
            layer_list="",
        ),
        "sweep": node("DirectionSweep", **edit, first=-2.0, last=2.0, frames=2),
        "save": node("SaveGANLatent", latent=["mix", 0], filename="forged"),
        "picture": node(
            "SaveGANImage", image=["mix", 1], latent=["mix", 0], filename_prefix="gan_latents/forged"
        ),
        "store": node("SaveDirections", directions=["factorize", 0], filename="forged", names="a"),
        "file": node("LoadDirections", file="known.safetensors"),
        "atlas": node("LoadAtlas", file="known.safetensors", region="mouth"),
        "mapped": node("ApplyDirection", **{**edit, "directions": ["atlas", 0]}, strength=1.0),
        "adapt": node(
            "AdaptDirections",
            gan=["load", 0],
            latent=["sample", 0],
            directions=["file", 0],
            region=["region", 0],
        ),
        "again": node("ApplyDirection", **{**edit, "directions": ["file", 0]}, strength=1.0),
        "kept": node("LoadGANLatent", gan=["load", 0], file="known.safetensors"),
        "theirs": {"class_type": "TestStyleGANLatent", "inputs": {"seed": 5, "dimensions": 3}},
        "vectors": {"class_type": "TestStyleGANDirections", "inputs": {}},
        "latent": node("FromStyleGANLatent", gan=["load", 0], stylegan_latent=["theirs", 0]),
        "directions": node("FromStyleGANDirections", gan=["load", 0], stylegan_directions=["vectors", 0]),
        "moved": node("ApplyDirection", **{**edit, "directions": ["directions", 0]}, strength=1.0),
        "joined": node("JoinLatents", gan=["load", 0], **_joined("sample", "apply")),
        "walk": node(
            "WalkLatents",
            gan=["load", 0],
            latent=["joined", 0],
            frames=3,
            path="linear",
            loop=True,
            layers="all",
            layer_list="",
        ),
        "frames": node(
            "EditFrames",
            **{name: value for name, value in edit.items() if name != "direction"} | {"latent": ["walk", 0]},
            keyframes="0 = 0:0, 2:2",
            frames=3,
            between="smooth",
            loop=True,
        ),
        "split": node("SplitLatents", latent=["walk", 0], at=1),
        "pick": node("PickLatents", gan=["load", 0], latent=["walk", 0], which="0, 2"),
        "mean": node("AverageLatents", gan=["load", 0], latent=["split", 1]),
        "difference": node("ImageDifference", before=["sample", 1], after=["apply", 1], gain=6.0),
        "sliders": node(
            "DirectionSliders",
            **{name: value for name, value in edit.items() if name != "direction"},
            strengths="0=1\nsmile=2",
        ),
    }
    prompt["store"]["inputs"] |= dict.fromkeys(("title", "description", "author", "license"), "")
    for index, (source, slot) in enumerate(
        [
            ("sweep", 0),
            ("mapped", 1),
            ("again", 1),
            ("kept", 1),
            ("latent", 1),
            ("moved", 1),
            ("region", 2),
            ("factorize", 1),
            ("adapt", 1),
            ("frames", 1),
            ("pick", 1),
            ("mean", 1),
            ("difference", 1),
        ]
    ):
        prompt[f"seen {index}"] = {"class_type": "PreviewImage", "inputs": {"images": [source, slot]}}
    return prompt


def _joined(*sources: str) -> dict[str, Any]:
    """The growing inputs of Join Latents."""
    return {f"latents.latent{index}": [source, 0] for index, source in enumerate(sources)}


class Forger:
    """Damages the graph in one to three places, by a seed.

    Args:
        schemas: the server's `/object_info`.
    """

    def __init__(self, schemas: dict[str, Any], seed: int) -> None:
        self._schemas = schemas
        self._ours = {name for name in schemas if name.startswith("ReSeFa_")}
        self._random = random.Random(seed)
        self._whole = whole()

    def prompt(self) -> Prompt:
        prompt = copy.deepcopy(self._whole)
        for _ in range(self._random.choice((1, 1, 1, 2, 3))):
            ours = [name for name, each in prompt.items() if str(each.get("class_type")) in self._ours]
            if ours:
                self._damage(prompt, self._random.choice(ours))
        return prompt

    def _damage(self, prompt: Prompt, name: str) -> None:
        pick = self._random
        damaged = prompt[name]
        schema = self._schemas[damaged["class_type"]]["input"]
        known = [*schema.get("required", {}), *schema.get("optional", {})]
        kind = pick.choices(("value", "linked value", "link", "remove", "graph"), (50, 20, 18, 4, 8))[0]
        inputs = damaged["inputs"]
        if not isinstance(inputs, dict):
            return
        if kind == "value":
            inputs[pick.choice(known)] = self._value()
        elif kind == "linked value":
            source = pick.choice(list(_SOURCES))
            prompt["source"] = {"class_type": source, "inputs": {"value": pick.choice(_SOURCES[source])}}
            inputs[pick.choice(known)] = ["source", 0]
        elif kind == "link":
            inputs[pick.choice(known)] = self._link(prompt, name)
        elif kind == "remove":
            inputs.pop(pick.choice(known), None)
        else:
            self._damage_graph(prompt, name)

    def _value(self) -> Any:
        pick = self._random
        return copy.deepcopy(pick.choice(pick.choice(_VALUES)))

    def _link(self, prompt: Prompt, name: str) -> Any:
        pick = self._random
        other = pick.choice(list(prompt))
        slot = pick.choice((0, 1, 2))
        wrong = [[other, -1], [other, 99], [other, 0.5], [other, "0"], [other, None], [other], [other, 0, 0]]
        wrong += [["nowhere", 0], [None, 0], [name, 0], [5, 0], [[], 0], [{}, 0], [other, 10**400]]
        return pick.choice((pick.choice(wrong), [other, slot], [other, slot]))

    def _damage_graph(self, prompt: Prompt, name: str) -> None:
        kind = self._random.randrange(6)
        if kind == 0:
            del prompt[name]
        elif kind == 1:
            prompt[name]["class_type"] = self._random.choice(
                (None, 5, "", "ReSeFa_Nothing", [], "\ud800", "PreviewImage")
            )
        elif kind == 2:
            prompt[name]["inputs"] = self._random.choice((None, [], 5, "x", {}))
        elif kind == 3:
            prompt[name]["inputs"][self._random.choice(_TEXTS)] = self._value()
        elif kind == 4:
            prompt[self._random.choice(_TEXTS)] = prompt.pop(name)
        else:
            prompt["sample"]["inputs"]["gan"] = ["apply", 0]


@dataclass
class Findings:
    """What became of forged prompts.

    Attributes:
        ends: how many ended in which way.
        faults: what should not have happened, in words, with the prompt.
    """

    ends: Counter[str] = field(default_factory=Counter)
    faults: list[tuple[str, Prompt]] = field(default_factory=list)

    def take(self, comfyui: ComfyUI, prompt: Prompt) -> None:
        """Queue a prompt, wait for its end and judge it."""
        try:
            status, answer = comfyui.post("/prompt", {"prompt": prompt})
        except json.JSONDecodeError:
            self.ends["ComfyUI's own error 500"] += 1
            return
        said = json.dumps(answer)
        if PACK in said:
            self.faults.append((f"an error of the pack in validation: {said[:2000]}", prompt))
        if status != 200:
            self.ends["refused before the run"] += 1
            return
        done = self._history(comfyui, answer["prompt_id"])
        if done is None:
            self.faults.append((f"no end:\n{comfyui.log()[-3000:]}", prompt))
            return
        self.ends[done["status"]["status_str"]] += 1
        for kind, message in done["status"]["messages"]:
            if kind == "execution_error" and message["node_type"].startswith("ReSeFa_"):
                self._judge(message, prompt)

    def _judge(self, message: dict[str, Any], prompt: Prompt) -> None:
        said = f"{message['node_type']}: {message['exception_type']}: {message['exception_message'][:2000]}"
        if not message["exception_type"].startswith(OURS):
            frames = "".join(message["traceback"][-2:])
            self.faults.append((f"a foreign error: {said}\n{frames}", prompt))
        elif not re.fullmatch(r"[ -~\u00a0-\ud7ff\n]*", message["exception_message"]):
            self.faults.append((f"a message that can't be printed: {said!r}", prompt))

    @staticmethod
    def _history(comfyui: ComfyUI, prompt_id: str) -> dict[str, Any] | None:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            history: dict[str, Any] = comfyui.get(f"/history/{prompt_id}")
            if prompt_id in history:
                found: dict[str, Any] = history[prompt_id]
                return found
            time.sleep(0.02)
        return None


def foreign_tracebacks(log: str) -> list[str]:
    """The tracebacks of a log that pass through the pack and end in an error that isn't one of its own."""
    found = []
    for trace in re.split(r"(?=Traceback \(most recent call last\):)", log)[1:]:
        goes_on = "The above exception was" in trace or "During handling of the above" in trace
        ends = re.findall(r"^(\w[\w.]*(?:Error|Exception|Interrupt))\b", trace, re.MULTILINE)
        if PACK in trace and not goes_on and not (ends and ends[0].startswith(OURS)):
            found.append(trace[:4000])
    return found


def plant(comfyui: ComfyUI) -> None:
    """Put the files there that the graph reads, and a generator and a latent whose names are not UTF-8."""
    generator = resefa.load_generator("avatars")
    latent = generator.sample(3, 0.7)
    directions = resefa.Directions.from_vectors(torch.eye(generator.latent_dim)[:2], "w", generator)
    models, inputs = comfyui.base / "models", comfyui.base / "input"
    for folder in (
        models / "stylegan",
        models / "stylegan_directions",
        models / "stylegan_atlases",
        inputs,
    ):
        folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(BUNDLED, models / "stylegan" / FOREIGN_NAME)
    directions.save(models / "stylegan_directions" / "known.safetensors")
    plan = Plan.of(generator, range(2), ["mouth"])
    build_atlas(generator, plan, count=1, measured=1).save(
        models / "stylegan_atlases" / "known.safetensors", overwrite=True
    )
    latent.save(inputs / "known.safetensors")
    shutil.copy(inputs / "known.safetensors", inputs / FOREIGN_NAME)
