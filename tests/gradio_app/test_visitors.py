"""A few visitors of the demo at once: each is served their own."""

from __future__ import annotations

import pytest

pytest.importorskip("gradio")

from benchmarks.visitors import measure


def test_visitors_do_not_mix() -> None:
    findings, _ = measure(clients=4, seconds=10, faces=0, options=["--cache-mb", "128", "--no-warm"])
    assert findings.wrong == []
    assert findings.busy == 0
    assert len(findings.times["arrive"]) == 4
