"""The command line: `resefa`, or `python -m resefa_core`. One module for each command."""

from __future__ import annotations

from .program import main, parser

__all__ = ["main", "parser"]
