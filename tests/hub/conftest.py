"""A stand-in for the Hub, where the client library looks for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_server import OTHER_TOKEN, TOKEN, HubServer


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubServer]:
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    with HubServer() as running:
        running.tokens = {TOKEN: "ada", OTHER_TOKEN: "bob"}
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        yield running
