"""The demo as people start it: a process of its own, asked over HTTP."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar
from urllib.request import ProxyHandler, build_opener

ROOT = Path(__file__).resolve().parents[2]
SMALL = tuple(option for name in ("avatars", "avatars-128", "cats") for option in ("--generator", name))
"""Options of a demo that opens with the smaller faces, where any face does."""
_INHERITED = ("PATH", "HOME", "SYSTEMROOT", "TEMP", "TMPDIR", "LD_LIBRARY_PATH", "OMP_NUM_THREADS")
_START_SECONDS = 180.0
_STOP_SECONDS = 10.0
_Server = TypeVar("_Server", bound="Server")


class Server:
    """`python gradio_app/app.py` on a free port of this machine, in a context.

    Args:
        options: of the command line.
        environment: all that the process has.
        root: where the demo's folder is, and where it runs.
        python: that runs it.
    """

    def __init__(
        self,
        *options: str,
        environment: Mapping[str, str],
        root: Path = ROOT,
        python: Path = Path(sys.executable),
    ) -> None:
        self.folder = TemporaryDirectory(prefix="resefa-served-")
        self.log = Path(self.folder.name) / "log.txt"
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        address = {"GRADIO_SERVER_NAME": "127.0.0.1", "GRADIO_SERVER_PORT": str(port)}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [str(python), str(Path("gradio_app", "app.py")), *options],
                cwd=root,
                env={**environment, **address},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # its slow threads give way to its own, not to the tests
            )
        try:
            self._wait()
        except BaseException:
            self.stop()
            raise

    def _wait(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while not _answers(f"{self.url}/config"):
            if self.process.poll() is not None or time.monotonic() > deadline:
                log = self.log.read_text(errors="replace")
                raise RuntimeError(f"the demo did not start:\n{log[-3000:]}")
            time.sleep(0.2)

    def resident_mb(self) -> float:
        """The memory that the process holds, in megabytes."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) / 1e3

    def stop(self) -> None:
        """End the process, and those that it started."""
        self.process.terminate()
        try:
            self.process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.folder.cleanup()

    def __enter__(self: _Server) -> _Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


@contextmanager
def serving(root: Path = ROOT, **variables: str) -> Iterator[str]:
    """Run the demo of a folder, with these environment variables and few others.

    Yields:
        Its address.
    """
    with Server(environment={**inherited(), **variables}, root=root) as server:
        yield server.url


def inherited() -> dict[str, str]:
    """The few environment variables that a demo gets from here."""
    kept = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    return kept | {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_OFFLINE": "0"}


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _answers(address: str) -> bool:
    try:
        with build_opener(ProxyHandler({})).open(address, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
