"""One function over many tasks: in this process, in a pool of processes, or on a Ray cluster."""

from __future__ import annotations

from .base import Inline, Work, Workers

__all__ = ["Inline", "Work", "Workers"]
