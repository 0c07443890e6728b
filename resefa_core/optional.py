"""Parts that need a package which is not always installed."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from .errors import HubError


def the_hub() -> ModuleType:
    """The package `resefa_core.hub`.

    Raises:
        HubError: the client library is not installed.
    """
    try:
        import_module("huggingface_hub")
        from . import hub
    except ImportError as missing:
        raise HubError(f'the Hub needs {missing.name}: pip install "resefa[hub]"') from missing
    return hub
