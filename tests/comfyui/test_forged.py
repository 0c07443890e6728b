"""Forged prompts end in words, and the worker goes on; `benchmarks/comfyui_forged.py` sends more of them."""

from __future__ import annotations

from typing import Any

from comfy_server import ComfyUI
from forged_graphs import Findings, Forger, foreign_tracebacks, plant, whole

PROMPTS = 40


def test_forged_prompts_end_in_words_and_the_worker_goes_on(
    comfyui: ComfyUI, schemas: dict[str, dict[str, Any]]
) -> None:
    plant(comfyui)
    comfyui.run(whole())
    before = len(comfyui.log())
    findings = Findings()
    forger = Forger(schemas, seed=11)
    for _ in range(PROMPTS):
        findings.take(comfyui, forger.prompt())
    assert findings.faults == []
    assert sum(findings.ends.values()) == PROMPTS
    assert foreign_tracebacks(comfyui.log()[before:]) == []
    comfyui.run(whole())
