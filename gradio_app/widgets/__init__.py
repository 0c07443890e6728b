"""Parts of the page that Gradio has no component for.

Each is a template, a style sheet and a script of its name, after the lines that scripts share. Templates and
scripts are written in English, and scripts pass what people read through `translate`. Templates are
static, since Gradio would run what stands in `${...}` of a filled one; scripts set what comes from the server
as text or as a picture's address.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

_FOLDER = Path(__file__).parent


def widget(name: str, value: Any = None, **options: Any) -> gr.HTML:
    """A part of the page whose value is JSON.

    Args:
        name: of the files.
        value: what the script gets at the start.
        options: of `gr.HTML`.
    """
    return gr.HTML(
        value,
        html_template=_read(name, "html"),
        css_template=_read(name, "css"),
        js_on_load=_read("shared", "js") + _read(name, "js"),
        apply_default_css=False,
        **options,
    )


def _read(name: str, kind: str) -> str:
    text = (_FOLDER / f"{name}.{kind}").read_text(encoding="utf-8")
    if kind != "js" and any(mark in text for mark in ("`", "${", "{{", "\\")):
        raise ValueError(f"{name}.{kind} would be filled in as a template")
    return text
