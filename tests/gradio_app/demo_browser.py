"""The demo in a process of its own, and a browser that reaches nothing else."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from serving import ROOT, Server

DESKTOP: dict[str, Any] = {"viewport": {"width": 1280, "height": 1000}}
PHONE: dict[str, Any] = {
    "viewport": {"width": 390, "height": 844},
    "device_scale_factor": 2,
    "has_touch": True,
    "is_mobile": True,
}
SCREENS: dict[str, dict[str, Any]] = {
    "1440": {"viewport": {"width": 1440, "height": 900}},
    "1280": {"viewport": {"width": 1280, "height": 720}},
    "phone": PHONE,
}
READY = ".rows[data-more=false] .row"

_ELSEWHERE = re.compile(r"^(?!http://127\.0\.0\.1[:/]|data:|blob:)")
_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)


def find_chromium() -> str | None:
    """The browser: that of RESEFA_CHROMIUM, or one on the path."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    found = (shutil.which(name) for name in names)
    return os.environ.get("RESEFA_CHROMIUM") or next((path for path in found if path), None)


def find_axe() -> Path | None:
    """The script with the rules of axe-core: that of RESEFA_AXE, or of `axe-playwright-python`."""
    if "RESEFA_AXE" in os.environ:
        return Path(os.environ["RESEFA_AXE"])
    package = importlib.util.find_spec("axe_playwright_python")
    if package is None or package.origin is None:
        return None
    return Path(package.origin).with_name("axe.min.js")


@contextmanager
def serve(*options: str, root: Path = ROOT) -> Iterator[str]:
    """Run the demo without a network to speak of; gives its address."""
    with server(*options, root=root) as running:
        yield f"{running.url}/"


def server(*options: str, root: Path = ROOT) -> Server:
    """The same, as a context that gives the server."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    environment.pop("SPACE_ID", None)
    return Server(*options, environment=environment, root=root)


def launch(playwright: Any) -> Any:
    """Start the browser."""
    return playwright.chromium.launch(executable_path=find_chromium(), args=list(_ARGUMENTS))


def keep_offline(context: Any, refused: list[str]) -> None:
    """Let nothing leave this machine; what tried to is noted."""

    def refuse(route: Any) -> None:
        refused.append(route.request.url)
        route.abort()

    context.route(_ELSEWHERE, refuse)
