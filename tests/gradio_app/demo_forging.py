"""Requests that no page sends, and what must not come back: for tests and benchmarks."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import httpx
import torch
from serving import ROOT

API = "/gradio_api"
JSON = {"content-type": "application/json"}
SCRIPT = "<script>alert(1)</script>"
MARK = "only-the-operator-may-read-this"
FORBIDDEN = (
    MARK,
    "Traceback",
    "site-packages",
    "root:x:",
    "SPDX",
    str(ROOT),
    str(Path(torch.__file__).parent),
)


class Stranger:
    """Sends anything, and looks at what comes back."""

    def __init__(self, url: str) -> None:
        self.http = httpx.Client(base_url=url, timeout=120)
        self.count = 0

    def send(self, method: str, address: str, **options: Any) -> httpx.Response:
        self.count += 1
        answer = self.http.request(method, address, **options)
        told = f"{method} {address[:200]} {str(options)[:300]}: {answer.status_code} {answer.text[:300]}"
        full = answer.status_code == 503 and "Queue is full" in answer.text
        assert answer.status_code < 500 or full, told
        harmless(answer.text, address + str(options))
        return answer

    def events(self, session: str, bodies: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Join with each body, a few at a time; the messages that end them."""
        ends = []
        for start in range(0, len(bodies), 15):
            pending = set()
            for body in bodies[start : start + 15]:
                data = json.dumps({"session_hash": session, **body}).encode()
                answer = self.send("POST", f"{API}/queue/join", content=data, headers=JSON)
                if answer.status_code == 200:
                    pending.add(answer.json()["event_id"])
            ends += self._ends(session, pending)
        return ends

    def direct(self, body: dict[str, Any]) -> int:
        """Take a step without the queue; the answer's status. One that fails says nothing of why."""
        self.count += 1
        answer = self.http.post(f"{API}/run/predict", content=json.dumps(body).encode(), headers=JSON)
        harmless(answer.text, json.dumps(body))
        assert answer.status_code in (200, 400, 404, 422) or answer.json() == {"error": None}, answer.text[
            :300
        ]
        return answer.status_code

    def _ends(self, session: str, pending: set[str]) -> list[dict[str, Any]]:
        ends = []
        silent = 0
        while pending:
            silent += 1
            assert silent < 5, f"{len(pending)} events got no answer"
            with self.http.stream("GET", f"{API}/queue/data", params={"session_hash": session}) as stream:
                for line in stream.iter_lines():
                    if not line.startswith("data:"):
                        continue
                    message = json.loads(line[5:])
                    harmless(line, "")
                    if message["msg"] == "process_completed":
                        pending.discard(message["event_id"])
                        ends.append(message)
                        silent = 0
        return ends


def harmless(text: str, sent: str) -> None:
    """Nothing of the server is told; what was sent may come back."""
    for word in FORBIDDEN:
        assert word not in text or word in sent, text[:500]


def junk(rng: random.Random, depth: int = 0) -> Any:
    """Something that JSON can hold."""
    kind = rng.randrange(16 if depth < 4 else 11)
    if kind < 11:
        return rng.choice(
            [
                None,
                True,
                False,
                0,
                -1,
                1,
                4,
                2**63,
                10**400,
                -(10**400),
                0.5,
                1e308,
                float("nan"),
                float("inf"),
                float("-inf"),
                "",
                "avatars",
                "mouth",
                SCRIPT,
                "\0",
                "\ud800",
                "../../etc/passwd",
                "x" * 5000,
                "nan",
                "author/name : ../../x",
                "{{7*7}}",
                "${alert(1)}",
                "'; DROP TABLE faces; --",
                "data:image/png;base64,AAAA",
            ]
        )
    if kind < 13:
        return [junk(rng, depth + 1) for _ in range(rng.randrange(5))]
    if kind == 13:
        nested: Any = rng.choice([[], {}, 1])
        for _ in range(rng.choice([5, 50, 300])):
            nested = [nested] if rng.random() < 0.5 else {"region": nested}
        return nested
    keys = [
        "region",
        "box",
        "mask",
        "preset",
        "version",
        "strengths",
        "names",
        "kept",
        "path",
        "meta",
        "url",
        SCRIPT,
    ]
    return {rng.choice(keys): junk(rng, depth + 1) for _ in range(rng.randrange(5))}


def near(rng: random.Random, version: int) -> Any:
    """What the page's own parts would send, with one thing wrong."""
    bad = junk(rng)
    return rng.choice(
        [
            {"region": {"box": [bad, 0.1, 0.2, 0.2]}},
            {"region": {"box": [0.1, 0.1, 0.2, bad]}},
            {"region": {"preset": bad}},
            {"region": {"mask": bad}},
            {"region": {"mask": "data:image/png;base64," + str(bad)[:100]}},
            {"version": version, "strengths": [bad, 1]},
            {"version": version, "strengths": bad},
            {"version": version, "names": [bad, bad], "kept": [bad]},
            {"version": bad, "strengths": [1, 2], "kept": bad, "names": bad},
        ]
    )


def file_data(path: str, **others: Any) -> dict[str, Any]:
    return {"path": path, "meta": {"_type": "gradio.FileData"}, **others}
