"""The demo in a process of its own, and a browser that reaches nothing else."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, build_opener

ROOT = Path(__file__).resolve().parents[2]
DESKTOP: dict[str, Any] = {"viewport": {"width": 1280, "height": 1000}}
PHONE: dict[str, Any] = {
    "viewport": {"width": 390, "height": 844},
    "device_scale_factor": 2,
    "has_touch": True,
    "is_mobile": True,
}
READY = ".rows[data-more=false] .row"

_START_SECONDS = 180
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
    found = (shutil.which(name) for name in ("chromium", "google-chrome"))
    return os.environ.get("RESEFA_CHROMIUM") or next((path for path in found if path), None)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextmanager
def serve(*options: str) -> Iterator[str]:
    """Run the demo without a network to speak of; gives its address."""
    address = f"http://127.0.0.1:{(port := free_port())}/"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    environment.pop("SPACE_ID", None)
    command = [sys.executable, str(ROOT / "gradio_app" / "app.py"), "--port", str(port), *options]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + _START_SECONDS
            while not _answers(address):
                if process.poll() is not None or time.monotonic() > deadline:
                    log.seek(0)
                    raise RuntimeError(f"the demo does not start:\n{log.read().decode(errors='replace')}")
                time.sleep(0.3)
            yield address
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def launch(playwright: Any) -> Any:
    """Start the browser."""
    return playwright.chromium.launch(executable_path=find_chromium(), args=list(_ARGUMENTS))


def keep_offline(context: Any, refused: list[str]) -> None:
    """Let nothing leave this machine; what tried to is noted."""

    def refuse(route: Any) -> None:
        refused.append(route.request.url)
        route.abort()

    context.route(_ELSEWHERE, refuse)


def _answers(address: str) -> bool:
    try:
        with build_opener(ProxyHandler({})).open(address, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
