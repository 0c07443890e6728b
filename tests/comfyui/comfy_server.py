"""A real ComfyUI with the pack in it, started for the tests and spoken to over HTTP."""

from __future__ import annotations

import copy
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from places import box_of

ROOT = Path(__file__).resolve().parents[2]
GENERATOR = "avatars"
"""Of the graphs that tests make up: quick, and what graphs of before name. Templates have another one."""
BUNDLED = ROOT / "resefa_core" / "bundled" / f"{GENERATOR}.safetensors"
DIRECTORY = os.environ.get("COMFYUI_DIR")
START_SECONDS = 900
RUN_SECONDS = 900
_MISSING = object()
_DYNAMIC = "COMFY_DYNAMICCOMBO_V3"

Prompt = dict[str, dict[str, Any]]


class ComfyUI:
    """A server on a free port of this machine, with folders of its own.

    Args:
        base: for its folders; made if it is not there.
        environment: beside that of this process.
        pack: the folder of the pack.
    """

    def __init__(self, base: Path, environment: Mapping[str, str] | None = None, pack: Path = ROOT) -> None:
        assert DIRECTORY is not None
        self.base = base
        (base / "custom_nodes").mkdir(parents=True)
        (base / "custom_nodes" / "resefa").symlink_to(pack)
        (base / "custom_nodes" / "stylegan").symlink_to(Path(__file__).parent / "stylegan_pack")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        command = [
            *(_python(Path(DIRECTORY)), "main.py", "--cpu", "--base-directory", str(base)),
            *("--listen", "127.0.0.1", "--port", str(port), "--disable-api-nodes", "--disable-auto-launch"),
            *("--database-url", "sqlite:///:memory:"),
        ]
        self._log = (base / "log.txt").open("wb")
        self._process = subprocess.Popen(
            command,
            cwd=DIRECTORY,
            env={**os.environ, **(environment or {})},
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(f"ComfyUI did not start:\n{self.log()[-3000:]}")
            time.sleep(0.2)

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._log.close()

    def log(self) -> str:
        return (self.base / "log.txt").read_text(errors="replace")

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(self.url + path, timeout=60) as answer:
            return json.load(answer)

    def post(self, path: str, body: Any) -> tuple[int, Any]:
        """The status and the JSON of the answer."""
        request = urllib.request.Request(
            self.url + path, json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read() or b"null")

    def queue(self, prompt: Prompt) -> str:
        """Queue a graph in the API's format; its id."""
        status, answer = self.post("/prompt", {"prompt": prompt})
        assert status == 200, answer
        return str(answer["prompt_id"])

    def wait(self, prompt_id: str) -> dict[str, Any]:
        """The history of a graph once it is done."""
        deadline = time.monotonic() + RUN_SECONDS
        while time.monotonic() < deadline:
            history = self.get(f"/history/{prompt_id}")
            if prompt_id in history:
                found: dict[str, Any] = history[prompt_id]
                return found
            time.sleep(0.1)
        raise TimeoutError(self.log()[-3000:])

    def run(self, prompt: Prompt) -> dict[str, Any]:
        """The outputs by node of a graph that is expected to succeed."""
        done = self.wait(self.queue(prompt))
        assert done["status"]["status_str"] == "success", problem(done)
        outputs: dict[str, Any] = done["outputs"]
        return outputs

    def resident_mb(self) -> int:
        """The server's resident memory."""
        pages = int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") >> 20

    def free(self, what: dict[str, bool]) -> None:
        """Have ComfyUI free what is named, as its buttons do; done when this returns.

        Args:
            what: `unload_models` or `free_memory`, true.
        """
        status, _ = self.post("/free", what)
        assert status == 200
        for colour in (0, 1):  # what is to be freed is looked for after a prompt: before the second one it is
            small = {"width": 8, "height": 8, "batch_size": 1, "color": colour}
            image = {"class_type": "EmptyImage", "inputs": small}
            self.run({"0": image, "1": {"class_type": "PreviewImage", "inputs": {"images": ["0", 0]}}})

    def picture(self, shown: dict[str, str]) -> Path:
        """The file of an image in a node's output."""
        return self.base / shown["type"] / shown["subfolder"] / shown["filename"]

    def _answers(self) -> bool:
        try:
            self.get("/system_stats")
        except OSError:
            return False
        return True


def node(kind: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": f"ReSeFa_{kind}", "inputs": inputs}


def graph(**changes: dict[str, Any]) -> Prompt:
    """Load, sample, select the mouth, factorize on two layers (quick), apply; `changes` of inputs by node."""
    prompt = {
        "load": node("LoadGAN", name=GENERATOR),
        "sample": node(
            "SampleGANLatent", gan=["load", 0], seed=7, truncation=0.7, batch_size=1, class_index=0
        ),
        "region": node(
            "SelectRegion",
            image=["sample", 1],
            box=box_of("mouth", GENERATOR),
            preset="none",
            combine="replace",
            feather=0.0,
            invert=False,
        ),
        "factorize": node(
            "FactorizeRegion",
            gan=["load", 0],
            latent=["sample", 0],
            region=["region", 0],
            num_directions=3,
            further_samples=0,
            space="auto",
            layers="list",
            layer_list="2-3",
            regularization=1e-4,
        ),
        "apply": node(
            "ApplyDirection",
            gan=["load", 0],
            latent=["sample", 0],
            directions=["factorize", 0],
            direction="0",
            strength=3.0,
            confine=0.0,
            confine_feather=0.0,
        ),
        "image": {"class_type": "PreviewImage", "inputs": {"images": ["apply", 1]}},
    }
    prompt = copy.deepcopy(prompt)
    for name, inputs in changes.items():
        prompt[name]["inputs"].update(inputs)
    return prompt


def _python(directory: Path) -> str:
    """The Python that ComfyUI runs on: `COMFYUI_PYTHON`, or its own environment's, or this one."""
    for candidate in (directory / "venv", directory / ".venv", directory.parent / "venv"):
        if (candidate / "bin" / "python").exists():
            return os.environ.get("COMFYUI_PYTHON", str(candidate / "bin" / "python"))
    return os.environ.get("COMFYUI_PYTHON", sys.executable)


def problem(done: dict[str, Any]) -> str:
    """What the user is told of a graph that failed."""
    for kind, message in done["status"]["messages"]:
        if kind == "execution_error":
            return str(message["exception_message"])
    return str(done["status"])


def as_prompt(workflow: dict[str, Any], nodes: dict[str, Any]) -> Prompt:
    """A saved workflow as the API takes it; `nodes` is the server's `/object_info`. Optional inputs that came
    later than the workflow stay out."""
    links = {link[0]: [str(link[1]), link[2]] for link in workflow["links"]}
    prompt: Prompt = {}
    for node in workflow["nodes"]:
        if node["type"] not in nodes:
            continue
        schema = nodes[node["type"]]["input"]
        values = iter(node.get("widgets_values", []))
        inputs: dict[str, Any] = {}
        optional = schema.get("optional", {})
        for name, spec in {**schema.get("required", {}), **optional}.items():
            options = spec[1] if len(spec) > 1 else {}
            if spec[0] == _DYNAMIC:
                inputs |= _dynamic(name, options, values)
                continue
            if not _has_widget(spec[0], options):
                continue
            value = next(values, _MISSING)
            if value is _MISSING:
                assert name in optional, (node["type"], name)
                continue
            inputs[name] = value
            if spec[0] == "BOUNDING_BOX":
                for _ in ("x", "y", "width", "height"):
                    next(values)
            if options.get("control_after_generate"):
                next(values)
        for socket_ in node.get("inputs", []):
            if socket_.get("link") is not None:
                inputs[socket_["name"]] = links[socket_["link"]]
        prompt[str(node["id"])] = {"class_type": node["type"], "inputs": inputs}
    return prompt


def _dynamic(name: str, options: dict[str, Any], values: Iterator[Any]) -> dict[str, Any]:
    """A choice that brings inputs of its own, `name.inner`."""
    chosen = next(values, _MISSING)
    if chosen is _MISSING:
        return {}
    inputs = {name: chosen}
    (own,) = (option["inputs"] for option in options["options"] if option["key"] == chosen)
    for inner, spec in {**own.get("required", {}), **own.get("optional", {})}.items():
        inner_options = spec[1] if len(spec) > 1 else {}
        if spec[0] == _DYNAMIC:
            inputs |= _dynamic(f"{name}.{inner}", inner_options, values)
        elif _has_widget(spec[0], inner_options):
            inputs[f"{name}.{inner}"] = next(values)
    return inputs


def _has_widget(kind: Any, options: dict[str, Any]) -> bool:
    named = kind in ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO", "BOUNDING_BOX") or isinstance(kind, list)
    return named and not options.get("forceInput")
