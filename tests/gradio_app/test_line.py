"""Slow work waits in line: in turns by address, with an estimate, and with a bound."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

import resefa_core as resefa
from gradio_app import jobs
from gradio_app.line import CrowdedError, Line, Place
from gradio_app.studio import Studio
from gradio_app.turns import Rank, Turns


def test_a_few_work_and_the_others_know_their_place() -> None:
    line = Line(places=2, seconds=6.0, longest=60.0)
    first, second, third, fourth = (line.join(str(i)) for i in range(4))
    assert first.wait(0.0) is None
    assert second.wait(0.0) is None
    assert fourth.wait(0.0) == Place(1, 6.0)
    assert third.wait(0.0) == Place(0, 3.0)
    assert fourth.wait(0.0).words == "1 before you in line: about 6 s"  # type: ignore[union-attr]
    first.leave()
    assert fourth.wait(0.0) is not None
    assert third.wait(0.0) is None
    third.leave()
    assert fourth.wait(0.0) is None
    second.leave()
    fourth.leave()
    assert line.is_idle


def test_a_line_that_is_too_long_is_refused_in_words() -> None:
    line = Line(places=1, seconds=10.0, longest=25.0)
    inside = line.join("a")
    assert inside.wait(0.0) is None
    waiting = [line.join(str(i)) for i in range(2)]
    with pytest.raises(CrowdedError, match="start in about 30 s"):
        line.join("late")
    waiting[0].leave()
    line.join("now")


def test_work_that_takes_longer_than_ever_counts_before_it_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    line = Line(places=1, seconds=2.0, longest=60.0)
    inside, second = line.join("a"), line.join("b")
    assert inside.wait(0.0) is None
    assert second.wait(0.0) == Place(0, 2.0)
    began = time.monotonic()
    monkeypatch.setattr("gradio_app.line.time.monotonic", lambda: began + 40.0)
    place = line._place(second)
    assert place.seconds == pytest.approx(40.0, abs=1.0)
    with pytest.raises(CrowdedError, match="about 80 s"):
        line.join("c")
    inside.leave()


def test_who_asks_for_much_waits_behind_who_asks_first() -> None:
    line = Line(places=1, seconds=10.0, longest=300.0)
    inside = line.join("greedy")
    assert inside.wait(0.0) is None
    many = [line.join("greedy") for _ in range(20)]
    honest = line.join("honest")
    assert honest.wait(0.0) == Place(0, 10.0)
    assert many[0].wait(0.0) == Place(1, 20.0)
    many += [line.join("greedy") for _ in range(9)]
    with pytest.raises(CrowdedError):
        line.join("greedy")
    line.join("another honest one")
    inside.leave()
    assert many[0].wait(0.0) is None
    assert many[1].wait(0.0) is not None
    place = honest.wait(0.0)
    assert place is not None
    assert place.ahead == 0
    many[0].leave()


def test_the_estimate_follows_what_work_takes() -> None:
    line = Line(places=1, seconds=10.0, longest=1000.0)
    for _ in range(30):
        ticket = line.join()
        assert ticket.wait(0.0) is None
        ticket.leave()
    inside, waiting = line.join(), line.join()
    assert inside.wait(0.0) is None
    place = waiting.wait(0.0)
    assert place is not None
    assert place.seconds < 0.1


def test_jobs_wait_for_their_turn_and_leave_when_done_or_unwanted() -> None:
    line = Line(places=1, seconds=1.0, longest=60.0)
    go, started = threading.Event(), threading.Event()

    def work(_: jobs.Progress) -> str:
        started.set()
        go.wait(10)
        return "done"

    first = jobs.run_in_turn(line, "a", work)
    next(first)
    assert started.wait(10)
    wanted = [True]
    second = jobs.run_in_turn(line, "b", lambda _: "second", lambda: wanted[0])
    assert isinstance(next(second), Place)
    wanted[0] = False
    with pytest.raises(jobs.Stopped):
        next(second)
    third = jobs.run_in_turn(line, "c", lambda _: "third")
    assert isinstance(next(third), Place)
    go.set()
    assert jobs.finished(first) == "done"
    assert jobs.finished(third) == "third"
    assert line.is_idle


def test_a_job_that_is_given_up_keeps_its_place_until_its_thread_ends() -> None:
    """Else more would work at once than memory is for."""
    line = Line(places=1, seconds=1.0, longest=60.0)
    go = threading.Event()
    job = jobs.run_in_turn(line, "a", lambda _: go.wait(10))
    next(job)
    job.close()
    waiting = line.join("b")
    assert waiting.wait(0.05) is not None
    go.set()
    assert waiting.wait(10) is None


def test_jobs_that_never_started_or_fail_leave() -> None:
    line = Line(places=1, seconds=1.0, longest=60.0)
    inside = line.join()
    assert inside.wait(0.0) is None
    waiting = jobs.run_in_turn(line, "a", lambda _: None)
    next(waiting)
    waiting.close()
    inside.leave()

    def fail(_: jobs.Progress) -> Iterator[None]:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        jobs.finished(jobs.run_in_turn(line, "a", fail))
    assert line.is_idle


def test_pictures_of_all_visitors_are_drawn_one_at_a_time(avatars: resefa.Generator) -> None:
    studio, drawing, most = Studio({"avatars": avatars}), 0, 0

    def draw() -> Iterator[int]:
        nonlocal drawing, most
        for index in range(5):
            drawing += 1
            most = max(most, drawing)
            time.sleep(0.005)
            drawing -= 1
            yield index

    def fail() -> Iterator[int]:
        yield 0
        raise resefa.ParameterError("nothing to draw")

    taken: list[list[int]] = []
    visitors = [
        threading.Thread(target=lambda: taken.append(list(studio.in_turns(draw())))) for _ in range(4)
    ]
    for visitor in visitors:
        visitor.start()
    with pytest.raises(resefa.ParameterError, match="nothing to draw"):
        list(studio.in_turns(fail()))
    for visitor in visitors:
        visitor.join(10.0)
    assert taken == [[0, 1, 2, 3, 4]] * 4
    assert most == 1


def test_what_is_waited_for_is_drawn_before_what_may_be_looked_at_later() -> None:
    turns, order, inside, go = Turns(), [], threading.Event(), threading.Event()

    def draw(name: str, count: int) -> Iterator[str]:
        for index in range(count):
            order.append(f"{name} {index}")
            time.sleep(0.05)
            yield name

    def hold() -> Iterator[str]:
        inside.set()
        go.wait(10.0)
        yield "held"

    def visitor(drawn: Iterator[str], rank: Rank) -> threading.Thread:
        thread = threading.Thread(target=lambda: list(turns.each(drawn, rank)))
        thread.start()
        return thread

    threads = [visitor(hold(), Rank.FACES)]
    assert inside.wait(10.0)
    waiting = [(draw("faces", 2), Rank.FACES), (draw("mouth", 2), Rank.STRIP), (draw("eyes", 2), Rank.STRIP)]
    for count, (drawn, rank) in enumerate(waiting, start=1):
        threads.append(visitor(drawn, rank))
        while len(turns._waiting) < count:
            time.sleep(0.001)
    go.set()
    for thread in threads:
        thread.join(10.0)
    assert order[:2] == ["mouth 0", "eyes 0"]
    assert sorted(order[2:4]) == ["eyes 1", "mouth 1"]
    assert order[4:] == ["faces 0", "faces 1"]
