"""One function over many tasks: in this process, in a pool of processes, or on a Ray cluster."""

from __future__ import annotations

from .base import Inline, Work, Workers
from .pool import Pool

__all__ = ["Inline", "Pool", "Work", "Workers"]
