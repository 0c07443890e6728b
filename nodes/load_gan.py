"""Load GAN."""

from __future__ import annotations

from pathlib import Path

from comfy_api.latest import io, ui

from . import folders
from .core import about, entry_of, resefa
from .node import Node, schema
from .runtime import LoadedGAN
from .sockets import GAN


class LoadGAN(Node):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="ReSeFa_LoadGAN",
            display_name="Load GAN",
            description="Load a GAN's generator: the bundled one, or a file of models/stylegan.",
            search_aliases=["stylegan", "stylegan2", "load stylegan", "gan loader", "generator"],
            inputs=[
                io.Combo.Input(
                    "name",
                    options=folders.generator_names(),
                    default=resefa.defaults.SHOWN_FIRST,
                    display_name="generator",
                    tooltip="avatars, avatars-128 and cats come with the pack; the others are files of "
                    "models/stylegan.",
                ),
            ],
            outputs=[
                GAN.Output("gan", display_name="GAN", tooltip="The generator, for the other GAN nodes."),
                io.String.Output("info", display_name="info", tooltip="What was loaded, in words."),
            ],
        )

    @classmethod
    def validate_inputs(cls, name: str | None) -> bool | str:
        return folders.validated(folders.generator_file, name)

    @classmethod
    def fingerprint_inputs(cls, name: str | None) -> str:
        return folders.fingerprint(folders.generator_file, name)

    @classmethod
    def run(cls, name: str) -> io.NodeOutput:
        file = folders.generator_file(name)
        generator = resefa.load_generator(name if file is None else file)
        gan = LoadedGAN.of(generator)
        info = about.as_text(about.generator_rows(generator))
        return io.NodeOutput(gan, info, ui=ui.PreviewText(info).as_dict() | needed(name, file))


def needed(name: str, file: Path | None) -> dict[str, tuple[dict[str, str], ...]]:
    """What a graph has to say of a public generator's file, so that ComfyUI names it and its address where it
    is missing."""
    entry = None if file is None else entry_of(file)
    if entry is None or entry.url is None:
        return {}
    return {"resefa_models": ({"name": name, "url": entry.url, "directory": folders.GENERATORS},)}
