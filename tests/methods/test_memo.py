from __future__ import annotations

from collections.abc import Callable

from resefa_core.methods.memo import Memo


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
