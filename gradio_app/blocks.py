"""The page as Gradio's blocks, with updates that cost what they change."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import gradio as gr
from gradio.blocks import Block


class Page(gr.Blocks):
    """Blocks whose steps may change any part and say of each update which parts it does change.

    Gradio builds every part of an update anew, those that it leaves alone too, on the one thread that all
    visitors' events share: 30 ms for each update of a page of forty parts.
    """

    async def postprocess_data(self, block_fn: Any, predictions: Any, state: Any) -> list[Any]:
        """As Gradio does it, of the parts alone that an update names."""
        if not _names_parts(predictions, block_fn.outputs):
            return await super().postprocess_data(block_fn, predictions, state)
        named = [part for part in block_fn.outputs if part in predictions]
        told = [predictions[part] for part in named]
        own = copy.copy(block_fn)
        own.outputs = named
        values = await super().postprocess_data(own, told[0] if len(told) == 1 else told, state)
        changed = dict(zip(named, values, strict=True))
        return [
            changed.get(part, None if part.stateful else gr.skip())  # what Gradio says of them
            for part in block_fn.outputs
        ]


def _names_parts(predictions: object, outputs: list[Any]) -> bool:
    """Whether what a step gave is an update by parts, all of them among its outputs."""
    return (
        isinstance(predictions, Mapping)
        and bool(predictions)
        and all(isinstance(part, Block) and part in outputs for part in predictions)
    )
