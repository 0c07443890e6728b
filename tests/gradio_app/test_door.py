"""Short steps do not queue: a few at a time, a few wait, more are turned away."""

from __future__ import annotations

import threading
import time

from gradio_app.door import Door


def test_a_few_are_inside_a_few_wait_and_more_are_turned_away() -> None:
    door = Door(inside=2, waiting=3)
    arrived, leave = threading.Semaphore(0), threading.Event()
    inside: list[int] = []
    most: list[int] = []

    def come() -> None:
        with door.entered() as entered:
            assert entered
            inside.append(1)
            most.append(len(inside))
            arrived.release()
            leave.wait(10)
            inside.pop()

    visitors = [threading.Thread(target=come) for _ in range(2)]
    for visitor in visitors:
        visitor.start()
    assert all(arrived.acquire(timeout=10) for _ in visitors)
    others = [threading.Thread(target=come) for _ in range(3)]
    for other in others:
        other.start()
    while door._here._value:
        time.sleep(0.01)
    with door.entered() as entered:
        assert not entered
    leave.set()
    for thread in (*visitors, *others):
        thread.join(10)
    assert len(most) == 5
    assert max(most) == 2
    with door.entered() as entered:
        assert entered


def test_a_step_that_fails_leaves() -> None:
    door = Door(inside=1, waiting=0)
    for _ in range(3):
        try:
            with door.entered() as entered:
                assert entered
                raise ValueError
        except ValueError:
            pass
