from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest

from resefa_core.latents import reach
from resefa_core.memo import Memo


@pytest.fixture
def eager_threads() -> Iterator[None]:
    """Threads that take turns after nearly every step."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def test_the_last_results_are_kept_and_others_made_again() -> None:
    made: list[str] = []

    def maker(key: str) -> Callable[[], str]:
        def make() -> str:
            made.append(key)
            return key.upper()

        return make

    memo: Memo[str] = Memo(2)
    assert [memo.get(key, maker(key)) for key in "abacab"] == list("ABACAB")
    assert made == ["a", "b", "c", "b"]


@pytest.mark.usefixtures("eager_threads")
def test_threads_share_it() -> None:
    memo: Memo[int] = Memo(4)

    def ask(start: int) -> list[int]:
        return [memo.get(key % 9, lambda key=key: 2 * (key % 9)) for key in range(start, start + 3000)]  # type: ignore[misc]

    with ThreadPoolExecutor(8) as pool:
        for start, found in enumerate(pool.map(ask, range(8))):
            assert found == [2 * (key % 9) for key in range(start, start + 3000)]
    assert len(memo) == 4


@pytest.mark.usefixtures("eager_threads")
def test_threads_ask_for_reach_beyond_what_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reach, "_measured_distance", lambda generator, space, layers, label: float(label))
    typical_distance: Any = reach.typical_distance
    generator = SimpleNamespace(fingerprint="reach under threads", num_classes=1)

    def ask(start: int) -> list[float]:
        labels = range(start, start + 10_000)
        return [typical_distance(generator, "w", (0,), label) for label in labels]

    with ThreadPoolExecutor(8) as pool:
        for start, found in enumerate(pool.map(ask, range(8))):
            assert found == [float(label) for label in range(start, start + 10_000)]
