"""Many visitors of the demo at once: is everyone served their own, how fast, and does memory grow?

Starts the demo in a process of its own. Each visitor speaks to it as a browser does: comes by a link, draws
boxes, moves sliders, asks for random faces, saves, with a pause between steps; the analysis of every layer
that the page starts by itself is started for them too. One more visitor solves over several faces together,
again and again. What comes back is checked: the seed in the picture's description and in the files, the box
in the link, versions that only grow. Exits with 1 if anything was another visitor's, or failed.

    python benchmarks/visitors.py --clients 20 --seconds 120
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import resefa_core as resefa
from benchmarks.demo_sessions import Busy, Page, Server, Session

LEAVING = 60.0


@dataclass
class Findings:
    """What all visitors saw together, and how many processors the server had for it."""

    times: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    busy: int = 0
    late: int = 0
    processors: float = 0.0
    wrong: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def timed(self, step: str) -> Iterator[None]:
        """Note how long a step takes; a polite refusal is counted, and what is wrong is kept."""
        start = time.monotonic()
        try:
            yield
        except Busy:
            with self.lock:
                self.busy += 1
        except Exception as error:
            with self.lock:
                self.wrong.append(f"{step}: {error!r}"[:300])
        else:
            with self.lock:
                self.times[step].append(time.monotonic() - start)


class Visitor(threading.Thread):
    """One of them."""

    def __init__(self, number: int, server: Server, page: Page, findings: Findings, until: float) -> None:
        super().__init__(daemon=True)
        self.seed, self.until, self.findings = 1000 + number, until, findings
        self.page, self.session = page, Session(server.url, page)
        self.rng = random.Random(number)
        self.version, self.analysing, self.refused = -1, False, False

    def run(self) -> None:
        arrived = False
        while not arrived and time.monotonic() < self.until:
            with self.findings.timed("arrive"):
                self._arrive()
                arrived = True
            self._pause()
        steps: list[Callable[[], None]] = [
            self._pick,
            self._slide,
            self._slide,
            self._slide,
            self._random,
            self._save,
        ]
        while time.monotonic() < self.until and arrived:
            step = self._pick if self.refused else self.rng.choice(steps)
            with self.findings.timed(step.__name__[1:]):
                step()
            self._pause()
        self.session.close()

    def _pause(self) -> None:
        time.sleep(self.rng.uniform(0.3, 1.5))

    def _arrive(self) -> None:
        self._follow(self.page.loaded(), query=f"?seed={self.seed}&region=mouth")
        self._analyse(self.page.loaded())

    def _random(self) -> None:
        changes = self._follow(self.page.event("random", "click"), "avatars", self.seed, 0.7, "")
        assert any("seed" in change for change in changes)
        self._analyse(self.page.event("random", "click"))

    def _pick(self) -> None:
        box = [round(self.rng.uniform(0.05, 0.5), 3) for _ in range(2)] + [0.25, 0.25]
        changes = self._follow(self.page.event("picker", "release"), {"region": {"box": box}})
        shown = [change["picker"]["region"] for change in changes if "region" in change.get("picker", {})]
        assert shown == [{"box": box}], f"the box {box} gave {shown}"

    def _slide(self) -> None:
        sent = {"version": self.version, "strengths": [round(self.rng.uniform(-5, 5), 1)]}
        changes = self._follow(self.page.event("directions", "input"), sent)
        pictures = [change["picker"] for change in changes if "picker" in change]
        if not pictures:
            with self.findings.lock:
                self.findings.late += 1  # finer directions came in between
            return
        assert [picture["of"] for picture in pictures] == [sent["version"]]

    def _save(self) -> None:
        title = f"of {self.session.hash}"
        changes = self._follow(self.page.event("save", "click"), {"version": self.version}, title, "", "")
        files = next(change["Files"] for change in changes if "Files" in change)
        data = self.session.http.get(files[0]["url"])
        data.raise_for_status()
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "saved.safetensors"
            file.write_bytes(data.content)
            directions = resefa.Directions.load(file)
        assert directions.title == title, f"{title}: the file is titled {directions.title}"
        assert directions.seeds == (self.seed,), f"seed {self.seed}: the file is of {directions.seeds}"

    def _follow(self, event: dict[str, Any], *values: Any, query: str = "") -> list[dict[str, Any]]:
        before = self.version
        changes = self.session.take(event, *values, query=query)
        try:
            self._check(changes, before)
        except Busy:
            self.refused = True  # there are no directions to slide along or to save
            raise
        self.refused = self.refused and self.version <= before
        return changes

    def _check(self, changes: list[dict[str, Any]], before: int) -> None:
        for change in changes:
            picker, rows = change.get("picker", {}), change.get("directions", {})
            if "seed" in change:
                self.seed = int(change["seed"])
            if "alt" in picker:
                told = picker["alt"]
                assert told.startswith(f"Picture number {self.seed}, "), f"{self.seed}: {told}"
            if "link" in picker:
                link = dict(parse_qsl(picker["link"][1:]))
                assert link["seed"] == str(self.seed), f"{self.seed}: {link}"
            if "version" in rows:
                assert rows["version"] > before, f"version {rows['version']} after {before}"
                self.version = max(self.version, rows["version"])
            if change.get("status", {}).get("kind") == "problem":
                text = change["status"]["text"]
                raise Busy(text) if text.startswith("many people are here") else AssertionError(text)

    def _analyse(self, after: dict[str, Any]) -> None:
        """What the page starts by itself once a face is there; not twice at a time, as in a browser."""
        if self.analysing:
            return
        self.analysing = True
        event_id = self.session.join(self.page.after(after))

        def follow() -> None:
            start = time.monotonic()
            try:
                for change in self.session.updates(event_id):
                    self.version = max(self.version, change.get("directions", {}).get("version", -1))
                with self.findings.lock:
                    self.findings.times["analyse every layer"].append(time.monotonic() - start)
            except Exception as error:
                if time.monotonic() < self.until:
                    with self.findings.lock:
                        self.findings.wrong.append(f"analyse: {error!r}"[:300])
            finally:
                self.analysing = False

        threading.Thread(target=follow, daemon=True).start()


class Slow(threading.Thread):
    """A visitor who solves over several faces together."""

    def __init__(self, server: Server, page: Page, findings: Findings, until: float, faces: int) -> None:
        super().__init__(daemon=True)
        self.page, self.session = page, Session(server.url, page)
        self.findings, self.until, self.faces = findings, until, faces

    def run(self) -> None:
        with self.findings.timed("slow visitor: arrive"):
            self.session.take(self.page.loaded(), query="?seed=500&region=eyes")
        number = 500
        while time.monotonic() < self.until:
            with self.findings.timed("slow visitor: generalize"):
                event = self.page.event("generalize", "click")
                changes = self.session.take(event, self.faces)
                said = [change["status"]["text"] for change in changes if "status" in change]
                assert said[-1].startswith(f"Solved over {self.faces} pictures"), said[-1]
            number += 20
            with self.findings.timed("slow visitor: draw"):
                self.session.take(self.page.event("seed", "submit"), "avatars", number, 0.7, "")
        self.session.close()


def measure(
    clients: int, seconds: float, faces: int, options: list[str]
) -> tuple[Findings, list[tuple[float, float]]]:
    """All visitors together; what they saw, and the server's memory over time, in seconds and MB."""
    findings = Findings()
    with Server(*options) as server:
        page = Page(server.url)
        until = time.monotonic() + seconds
        visitors: list[threading.Thread] = [Visitor(i, server, page, findings, until) for i in range(clients)]
        if faces:
            visitors.append(Slow(server, page, findings, until, faces))
        start, worked = time.monotonic(), server.work()
        memory = [(0.0, server.resident_mb())]
        for visitor in visitors:
            visitor.start()
        while time.monotonic() < until + 4 * LEAVING and any(visitor.is_alive() for visitor in visitors):
            time.sleep(min(2.0, seconds / 20))
            memory.append((time.monotonic() - start, server.resident_mb()))
        findings.processors = (server.work() - worked) / (time.monotonic() - start)
        if any(visitor.is_alive() for visitor in visitors):
            findings.wrong.append(f"{sum(visitor.is_alive() for visitor in visitors)} visitors got no answer")
        if server.process.poll() is not None:
            findings.wrong.append("the server ended")
        log = server.log.read_text(errors="replace")
        if "Traceback" in log:
            findings.wrong.append(f"the server's log: {log[log.index('Traceback') :][-1500:]}")
    return findings, memory


def report(findings: Findings, memory: list[tuple[float, float]]) -> None:
    """Print it all as tables."""
    print("| step | taken | median, s | 95 of 100 within, s | longest, s |\n|---|---:|---:|---:|---:|")
    for step, times in sorted(findings.times.items()):
        within = sorted(times)[min(len(times) - 1, int(0.95 * len(times)))]
        print(f"| {step} | {len(times)} | {statistics.median(times):.2f} | {within:.2f} | {max(times):.2f} |")
    parts = defaultdict(list)
    for at, held in memory:
        parts[int(at // 30.0)].append(held)
    told = ", ".join(f"{statistics.mean(part):.0f} (at most {max(part):.0f})" for part in parts.values())
    print(f"\nmemory at the start {memory[0][1]:.0f} MB; on average in each half minute: {told}")
    print(f"processors that the server had, on average: {findings.processors:.2f}")
    print(f"refused politely: {findings.busy}; slides of directions that were just replaced: {findings.late}")
    for wrong in findings.wrong:
        print(f"WRONG: {wrong}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--clients", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--faces", type=int, default=8, help="of the slow visitor; 0 for none")
    parser.add_argument("--cache-mb", type=int, default=256, help="the server's bound for analyses")
    options = parser.parse_args()
    findings, memory = measure(
        options.clients, options.seconds, options.faces, ["--cache-mb", str(options.cache_mb)]
    )
    report(findings, memory)
    sys.exit(1 if findings.wrong else 0)


if __name__ == "__main__":
    main()
