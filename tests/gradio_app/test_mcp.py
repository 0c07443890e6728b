"""The demo's tools as an agent finds and calls them: by the client of the Model Context Protocol."""

from __future__ import annotations

import ast
import asyncio
import base64
import io
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar
from urllib.request import ProxyHandler, build_opener

import numpy as np
import pytest
from PIL import Image

import resefa_core as resefa

mcp = pytest.importorskip("mcp", reason="mcp is not installed: pip install gradio[mcp]")
pytest.importorskip("gradio", reason="gradio is not installed")
streamable_http = pytest.importorskip("mcp.client.streamable_http")

Result = TypeVar("Result")
TOOLS = {"draw_face", "find_directions", "show_directions", "apply_directions", "describe_directions"}


@pytest.fixture
def url(address: str) -> str:
    return f"{address}gradio_api/mcp/"


def talk(address: str, work: Callable[[Any], Awaitable[Result]]) -> Result:
    """What comes of a conversation."""

    async def conversation() -> Result:
        client = streamable_http.streamablehttp_client(address, timeout=120, sse_read_timeout=300)
        async with client as (read, write, _), mcp.ClientSession(read, write) as session:
            await session.initialize()
            return await work(session)

    return asyncio.run(conversation())


def call(address: str, tool: str, **arguments: Any) -> Any:
    return talk(address, lambda session: session.call_tool(tool, arguments))


def picture(answer: Any) -> np.ndarray:
    """The pixels of an answer that begins with an image."""
    assert not answer.isError, answer
    data = base64.b64decode(answer.content[0].data)
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), dtype=np.float64)


def words(answer: Any) -> str:
    return str(answer.content[0].text)


def test_the_tools_are_told_in_whole_sentences(url: str) -> None:
    tools = talk(url, lambda session: session.list_tools()).tools
    assert {tool.name for tool in tools} == TOOLS
    for tool in tools:
        assert "Returns: " in tool.description
        assert tool.description.endswith(".")
        for name, parameter in tool.inputSchema["properties"].items():
            assert parameter["description"].endswith("."), f"{tool.name}: {name} is cut off"


def test_a_face_is_drawn(url: str, avatars: resefa.Generator) -> None:
    drawn = picture(call(url, "draw_face", seed=13, truncation=0.7))
    expected = resefa.to_pil(avatars.synthesize(avatars.sample(13, 0.7))[0])
    assert np.abs(drawn - np.asarray(expected, dtype=np.float64)).max() <= 2


def test_directions_are_found_told_and_applied(url: str, tmp_path: Path) -> None:
    found = call(url, "find_directions", seed=13, region="mouth", layered=False, count=2, only_good=False)
    assert not found.isError
    file, report = ast.literal_eval(words(found))
    assert (report["space"], len(report["directions"])) == ("w", 2)
    saved = tmp_path / "directions.safetensors"
    saved.write_bytes(build_opener(ProxyHandler({})).open(file["url"], timeout=30).read())
    directions = resefa.Directions.load(saved)
    assert (directions.space, directions.seeds, len(directions)) == ("w", (13,), 2)
    assert "'Fits': 'yes'" in words(call(url, "describe_directions", file=file["url"]))
    shown = call(url, "show_directions", file=file["url"], seed=13)
    assert picture(shown).shape[0] > picture(shown).shape[1] / 5
    assert "Image URL: http" in shown.content[1].text
    plain = picture(call(url, "draw_face", seed=13))
    moved = picture(call(url, "apply_directions", file=file["url"], strengths="[4, 0]", seed=13))
    for confine in (True, 1.0):
        asked = {"file": file["url"], "strengths": "[4, 0]", "seed": 13, "confine": confine}
        assert np.abs(picture(call(url, "apply_directions", **asked)) - moved).mean() > 0
    assert directions.region is not None
    inside = directions.region.mask(*plain.shape[:2]).numpy() > 0
    change = np.square(moved - plain).mean(axis=2)
    assert change[inside].mean() > 5 * change[~inside].mean()


def test_what_is_wrong_is_told_in_words(url: str) -> None:
    answer = call(url, "find_directions", seed=13, region="ear")
    assert answer.isError
    assert "there is no preset 'ear'" in words(answer)
