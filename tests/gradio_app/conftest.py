from __future__ import annotations

from collections.abc import Iterator

import pytest
from demo_browser import serve
from serving import SMALL


@pytest.fixture(scope="session")
def address() -> Iterator[str]:
    """A running demo, for all who come to it as visitors do."""
    with serve(*SMALL) as served:
        yield served
