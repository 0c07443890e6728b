"""The demo in a process of its own, and visitors who speak to it as browsers do: for tests and benchmarks."""

from __future__ import annotations

import json
import os
import queue
import sys
import tempfile
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
from gradio_client.utils import apply_diff

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "gradio_app"))

import serving  # noqa: E402

API = "/gradio_api"


class Busy(Exception):  # noqa: N818
    """The server said politely that it has too much to do."""


class Server(serving.Server):
    """The demo with files of its own and no network to speak of; a context."""

    def __init__(self, *options: str) -> None:
        self.kept = tempfile.TemporaryDirectory(prefix="resefa-kept-")
        self.files, hub = Path(self.kept.name) / "files", Path(self.kept.name) / "hub"
        self.files.mkdir()
        own = {"GRADIO_TEMP_DIR": str(self.files), "HF_HOME": str(hub), "HF_TOKEN": "", "HF_HUB_OFFLINE": "1"}
        super().__init__(*options, environment={"OMP_NUM_THREADS": "1", **os.environ, **own})

    def stop(self) -> None:
        """End the process."""
        super().stop()
        self.kept.cleanup()

    def work(self) -> float:
        """Seconds that processors have worked for the process; Linux."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Page:
    """What is where on the page: events and parts by the names that people see, or else by `elem_id`."""

    def __init__(self, url: str) -> None:
        config = httpx.get(f"{url}/config", timeout=30).json()
        self.names = {c["id"]: _name(c) for c in config["components"]}
        self.events = config["dependencies"]
        self._values = {c["id"]: c["props"].get("value") for c in config["components"]}

    def inputs(self, event: dict[str, Any]) -> list[str]:
        """The names of the parts whose values an event takes."""
        return [self.names[part] for part in event["inputs"]]

    def defaults(self, event: dict[str, Any]) -> list[Any]:
        """What an event is sent from an untouched page."""
        return [self._values[part] for part in event["inputs"]]

    def event(self, part: str, kind: str) -> dict[str, Any]:
        """The event of a part that the server answers."""
        return next(
            event
            for event in self.events
            if event["backend_fn"]
            and any((self.names.get(i), k) == (part, kind) for i, k in event["targets"])
        )

    def loaded(self) -> dict[str, Any]:
        """The event of coming to the page."""
        return next(
            event
            for event in self.events
            if event["backend_fn"] and ["load"] in [t[1:] for t in event["targets"]]
        )

    def after(self, event: dict[str, Any]) -> dict[str, Any]:
        """The event that follows another."""
        return next(each for each in self.events if each["trigger_after"] == event["id"])


class Session:
    """A visitor. `seen` is what the page shows, by names of parts."""

    def __init__(self, url: str, page: Page, timeout: float = 300.0) -> None:
        self.url, self.page, self.timeout = url, page, timeout
        self.hash = uuid.uuid4().hex[:11]
        self.seen: dict[str, Any] = {}
        self.http = httpx.Client(base_url=url, timeout=httpx.Timeout(timeout))
        self._inbox: defaultdict[str, queue.Queue[dict[str, Any]]] = defaultdict(queue.Queue)
        self._events: dict[str, dict[str, Any]] = {}
        self._data: dict[str, list[Any]] = {}
        self._lock = threading.Lock()
        self._reading = False

    def join(self, event: dict[str, Any], *values: Any, query: str = "") -> str:
        """Ask for an event; returns its id.

        Raises:
            Busy: the queue is full.
        """
        answer = self.http.post(f"{API}/queue/join{query}", json=self._body(event, values))
        if answer.status_code == 503:
            raise Busy(answer.text)
        answer.raise_for_status()
        event_id = str(answer.json()["event_id"])
        with self._lock:
            self._events[event_id] = event
            if not self._reading:
                self._reading = True
                threading.Thread(target=self._read, daemon=True).start()
        return event_id

    def updates(self, event_id: str) -> Iterator[dict[str, Any]]:
        """What an event changes on the page, as it comes."""
        while True:
            message = self._inbox[event_id].get(timeout=self.timeout)
            if message["msg"] == "stopped":
                raise ConnectionError(message["why"])
            if message["msg"] in ("process_generating", "process_completed"):
                yield message["changed"]
            if message["msg"] == "process_completed":
                if not message.get("success"):
                    raise RuntimeError(f"the step failed: {message.get('output')}")
                return

    def take(self, event: dict[str, Any], *values: Any, query: str = "") -> list[dict[str, Any]]:
        """A step from beginning to end, also one that does not queue."""
        if event["queue"]:
            return list(self.updates(self.join(event, *values, query=query)))
        answer = self.http.post(f"{API}/run/predict{query}", json=self._body(event, values))
        answer.raise_for_status()
        return [self._changed(event, answer.json()["data"])]

    def _body(self, event: dict[str, Any], values: tuple[Any, ...]) -> dict[str, Any]:
        return {
            "data": [None, *values] if event["inputs"] else [],
            "fn_index": event["id"],
            "session_hash": self.hash,
            "trigger_id": event["targets"][0][0] if event["targets"] else None,
        }

    def close(self) -> None:
        """Leave."""
        self.http.close()

    def _read(self) -> None:
        try:
            while True:
                with self.http.stream(
                    "GET", f"{API}/queue/data", params={"session_hash": self.hash}
                ) as stream:
                    for line in stream.iter_lines():
                        if line.startswith("data:"):
                            self._sort(json.loads(line[5:]))
                with self._lock:
                    if not self._events:
                        self._reading = False
                        return
        except (httpx.HTTPError, httpx.StreamError, RuntimeError) as error:
            with self._lock:
                self._reading = False
                for event_id in self._events:
                    self._inbox[event_id].put({"msg": "stopped", "why": repr(error)})
                self._events.clear()

    def _sort(self, message: dict[str, Any]) -> None:
        event_id = message.get("event_id")
        if not event_id:
            return
        with self._lock:
            event = self._events.get(event_id)
        for _ in range(200):  # the answer with the id may come after the first message
            if event is not None:
                break
            time.sleep(0.01)
            with self._lock:
                event = self._events.get(event_id)
        if event is None:
            return
        if message["msg"] == "process_generating" and message.get("success"):
            sent = message["output"]["data"]
            before = self._data.get(event_id)
            if before is not None:
                sent = [apply_diff(old, new) for old, new in zip(before, sent, strict=True)]
            self._data[event_id] = sent
            message["changed"] = self._changed(event, sent)
        elif message["msg"] == "process_completed":
            with self._lock:
                self._events.pop(event_id, None)
            sent = (message.get("output") or {}).get("data") if event_id not in self._data else []
            self._data.pop(event_id, None)
            message["changed"] = self._changed(event, sent or [])
        self._inbox[event_id].put(message)

    def _changed(self, event: dict[str, Any], sent: list[Any]) -> dict[str, Any]:
        changed = {}
        for part, value in zip(event["outputs"], sent, strict=False):
            if isinstance(value, dict) and value.get("__type__") == "update":
                if "value" not in value:
                    continue
                value = value["value"]
            if value is not None:
                changed[self.page.names[part]] = value
        self.seen.update(changed)
        return changed


def _name(component: dict[str, Any]) -> str:
    props = component.get("props", {})
    return str(props.get("elem_id") or props.get("label") or props.get("value") or component["id"])
