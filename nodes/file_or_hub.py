"""What nodes share that take a file of a folder of models, or one of the Hugging Face Hub by its address."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path

from comfy_api.latest import io

from . import folders
from .node import Node


def file_or_hub_inputs(files: list[str], file_tooltip: str, address_tooltip: str) -> list[io.Input]:
    """The choice of a file, and an address that may stand in for it."""
    return [
        io.Combo.Input("file", options=files, tooltip=file_tooltip),
        io.String.Input(
            "address", default="", placeholder="hf://author/name", optional=True, tooltip=address_tooltip
        ),
    ]


class FileOrHubNode(Node):
    """A node with the inputs of `file_or_hub_inputs`."""

    @staticmethod
    @abstractmethod
    def find(name: str) -> Path:
        """The file of a name; see `folders.validated`."""

    @classmethod
    def validate_inputs(cls, file: str | None, address: object = "") -> bool | str:
        if address is not None and not isinstance(address, str):  # ComfyUI lets lists through
            return f"address: expected a text such as hf://owner/name, got a {type(address).__name__}"
        if address is None or address.strip():
            return True
        return folders.validated(cls.find, file)

    @classmethod
    def fingerprint_inputs(cls, file: str | None, address: str | None = "", **others: object) -> str:
        return (address or "").strip() or folders.fingerprint(cls.find, file)
