"""The page's place for a visitor's own picture."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import gradio as gr

from gradio_app.endpoints import fetch_nothing
from gradio_app.steps import Steps
from gradio_app.widgets import widget
from resefa_core.inversion.landmarks import can_find_faces

if TYPE_CHECKING:
    from gradio_app.page import Parts

_ABOUT = """Drop a picture of what the generator draws: it is looked for, which takes a moment, and can then
be edited as a drawn one can. **Don't use pictures of people without their consent.**

The file is removed from the server as soon as it is read. The picture stays in its memory while this page is
open, for an hour at most after you used it last. What was found of it is kept in this tab of your browser,
goes into no link, and is in files that you make here."""
_FACE = (
    "Of a face, x and y in pixels: eye at the left, eye at the right, middle of the mouth; empty: the "
    "picture's middle"
)
_AUTO = "; auto: they are found"


def add_photos(parts: Parts) -> gr.Button:
    """The tab; returns the button that puts the edit into the picture."""
    with gr.Tab("Your picture"):
        gr.Markdown(_ABOUT)
        parts["photo"] = gr.File(
            label="Picture", file_types=[".png", ".jpg", ".jpeg", ".webp"], type="filepath", height=150
        )
        fetch_nothing(parts["photo"])
        parts["points"] = widget("points", {"image": None}, elem_id="points")
        about = _FACE + _AUTO if can_find_faces() else _FACE
        parts["photo_face"] = gr.Textbox("", label="Eyes and mouth", info=about, max_length=100)
        with gr.Row():
            parts["whole"] = gr.Checkbox(
                False,
                label="The whole drawn picture",
                info="Instead of what the edit changed: its look then differs from the rest of your picture",
                elem_id="whole",
            )
            paste = gr.Button(
                "Put the edit into your picture", variant="primary", elem_id="paste", min_width=260, scale=0
            )
        parts["pasted"] = widget("pictures", {"images": []}, elem_id="pasted")
        parts["photo_files"] = gr.File(label="Your picture, edited", interactive=False, visible="hidden")
    return paste


def listen(parts: Parts, paste: gr.Button, steps: Steps, folder: Path) -> None:
    """What the button does."""
    changes = ("pasted", "photo_files")
    parts.step(paste.click, partial(steps.paste_photo, folder=folder), "whole", changes=changes)
