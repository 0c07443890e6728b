"""Forged events to the running demo, thousands of them, beside a visitor who moves sliders.

Each event is one of the page's or of the programs' steps, with anything in it that JSON holds, or with what
the page sends and one thing wrong. Counted: how they are answered, what the server's log grows by, how long
the visitor waits. Exits with 1 if an answer tells something of the server, or is an error of its own; if the
visitor gets no answer; or if the same seed draws another face afterwards.

    python benchmarks/forged_events.py --events 2000
"""

from __future__ import annotations

import argparse
import io
import json
import random
import statistics
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "gradio_app")]

from demo_forging import Stranger, junk, near  # noqa: E402

import resefa_core as resefa  # noqa: E402
from benchmarks.demo_sessions import Page, Server, Session  # noqa: E402

SEED = 13
_BATCH = 25


class Slider(threading.Thread):
    """A visitor who moves a slider now and then."""

    def __init__(self, visitor: Session, page: Page) -> None:
        super().__init__(daemon=True)
        self.visitor, self.event = visitor, page.event("directions", "input")
        self.over, self.times = threading.Event(), list[float]()
        self.wrong: list[str] = []

    def run(self) -> None:
        strength = 0.0
        while not self.over.wait(1.0):
            strength = (strength + 0.3) % 5.0
            version = self.visitor.seen["directions"]["version"]
            start = time.monotonic()
            try:
                shown = self.visitor.take(self.event, {"version": version, "strengths": [strength + 0.1]})
                assert shown[0]["picker"]["of"] == version, shown
            except Exception as error:
                self.wrong.append(repr(error)[:300])
            self.times.append(time.monotonic() - start)


def body(rng: random.Random, page: Page, events: list[dict[str, Any]], version: int) -> dict[str, Any]:
    """One forged event."""
    event = rng.choice(events)
    if rng.random() < 0.1:
        return {"fn_index": event["id"], "data": rng.choice([[], [None] * 12, [[]], None, "x"])}
    values = [rng.choice([junk, lambda r: near(r, version)])(rng) for _ in event["inputs"]]
    if rng.random() < 0.5:  # what an untouched page sends, and one thing wrong
        kept = page.defaults(event)
        if kept:
            at = rng.randrange(len(kept))
            kept[at] = values[at]
        values = kept
    return {"fn_index": event["id"], "data": values, "event_data": junk(rng), "trigger_id": 1}


def forge(count: int, seed: int) -> tuple[Counter[str], list[str], list[float], float]:
    """How events were answered, what was wrong, how long the visitor waited, and bytes of log per event."""
    rng = random.Random(seed)
    answers: Counter[str] = Counter()
    wrong: list[str] = []
    with Server() as server:
        page = Page(server.url)
        visitor = Session(server.url, page)
        visitor.take(page.loaded(), query=f"?seed={SEED}")
        slider = Slider(visitor, page)
        slider.start()
        before = server.log.stat().st_size
        slow = {page.loaded()["id"]}  # a face each, and directions: honest work that takes seconds
        slow |= {e["id"] for e in page.events if e["api_name"] == "find_directions"}
        queued = [e for e in page.events if e["backend_fn"] and e["queue"] and e["id"] not in slow]
        queued_slow = [e for e in page.events if e["id"] in slow]
        direct = [e for e in page.events if e["backend_fn"] and not e["queue"]]
        stranger = Stranger(server.url)
        sent = 0
        while sent < count:
            version = visitor.seen["directions"]["version"]
            bodies = [body(rng, page, queued, version) for _ in range(_BATCH - 6)]
            bodies.append(body(rng, page, queued_slow, version))
            try:
                for end in stranger.events(f"forger-{rng.randrange(40)}", bodies):
                    error = (end.get("output") or {}).get("error")
                    answers["taken" if end.get("success") else "refused" if error else "failed"] += 1
                for each in (body(rng, page, direct, version) for _ in range(5)):
                    status = stranger.direct({**each, "session_hash": "forger"})
                    answers[f"without the queue: {status}"] += 1
            except AssertionError as error:
                wrong.append(str(error)[:500])
            sent += _BATCH
            print(f"{sent} events", file=sys.stderr, flush=True)
        slider.over.set()
        slider.join(120)
        wrong += slider.wrong
        log = (server.log.stat().st_size - before) / sent
        wrong += _changed(server, page, stranger)
    return answers, wrong, slider.times, log


def _changed(server: Server, page: Page, stranger: Stranger) -> list[str]:
    """What is wrong with the face that is drawn now."""
    event = next(event for event in page.events if event["api_name"] == "draw_face")
    (end,) = stranger.events("friend", [{"fn_index": event["id"], "data": [SEED, 0.7, "", ""]}])
    if not end.get("success"):
        return [f"no face is drawn any more: {json.dumps(end)[:300]}"]
    drawn = stranger.http.get(end["output"]["data"][0]["url"]).content
    generator = resefa.load_generator("avatars")
    expected = resefa.to_pil(generator.synthesize(generator.sample(SEED, 0.7))[0])
    pixels = [
        np.asarray(each.convert("RGB")).astype(int) for each in (Image.open(io.BytesIO(drawn)), expected)
    ]
    return [] if np.abs(pixels[0] - pixels[1]).max() <= 2 else ["the same seed draws another face"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--events", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    answers, wrong, times, log = forge(options.events, options.seed)
    print("| answer | events |\n|---|---:|")
    for answer, number in sorted(answers.items()):
        print(f"| {answer} | {number} |")
    print(
        f"\nthe visitor beside moved a slider {len(times)} times: median {statistics.median(times):.2f} s, "
    )
    print(f"longest {max(times):.2f} s; the log grew by {log:.0f} bytes for each event")
    for each in wrong:
        print(f"WRONG: {each}")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
