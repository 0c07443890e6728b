"""The demo as people start it: a process of its own, asked over HTTP."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_INHERITED = ("PATH", "HOME", "SYSTEMROOT", "TEMP", "TMPDIR", "LD_LIBRARY_PATH", "OMP_NUM_THREADS")
_PORTS = range(7850, 7870)
_START_SECONDS = 180.0


@contextmanager
def serving(root: Path = ROOT, **variables: str) -> Iterator[str]:
    """Run `python gradio_app/app.py` in a folder, with these environment variables and few others.

    Yields:
        Its address.
    """
    port = next(port for port in _PORTS if _is_free(port))
    environment = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    environment |= {"GRADIO_SERVER_NAME": "127.0.0.1", "GRADIO_SERVER_PORT": str(port)}
    environment |= {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_OFFLINE": "0"} | variables
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [sys.executable, "gradio_app/app.py"],
            cwd=root,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            url = f"http://127.0.0.1:{port}"
            deadline = time.monotonic() + _START_SECONDS
            while not _answers(url):
                if process.poll() is not None or time.monotonic() > deadline:
                    log.seek(0)
                    raise RuntimeError(f"the demo did not start:\n{log.read().decode()[-3000:]}")
                time.sleep(0.2)
            yield url
        finally:
            process.kill()
            process.wait()


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/config", timeout=5) as answer:
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        return False
