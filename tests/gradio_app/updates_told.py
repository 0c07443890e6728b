"""What steps told the page."""

from __future__ import annotations

from typing import Any

Updates = list[dict[str, Any]]


def last(updates: Updates, part: str) -> Any:
    """What a part shows in the end."""
    return [update[part] for update in updates if part in update][-1]


def problem_of(updates: Updates) -> str:
    """What the visitor was told that went wrong."""
    line = last(updates, "status")
    assert line["kind"] == "problem", line
    return str(line["text"])
