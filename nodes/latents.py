"""Sample, mix, load and save latents."""

from __future__ import annotations

import json
from typing import Any

from comfy.cli_args import args
from comfy_api.latest import io, ui
from torch import Tensor

from . import folders
from .core import Progress, codes, pasting, resefa, samples
from .node import Node, schema
from .pictures import from_comfy, to_comfy
from .runtime import LoadedGAN, as_output, synthesize
from .sockets import GAN, GANLatent

_LARGEST_SEED = samples.SEEDS - 1
_ROWS: dict[str, codes.Rows | None] = {"by their number": None, "layers": "layers", "images": "images"}


def latent_outputs() -> list[io.Output]:
    """The two outputs of every node that makes or changes a latent."""
    return [
        GANLatent.Output("latent", display_name="latent", tooltip="The codes, for the other GAN nodes."),
        io.Image.Output("image", display_name="image", tooltip="The image of the codes."),
    ]


def with_image(
    cls: type[Node], gan: LoadedGAN, latent: resefa.Latent, *notes: str, report: Progress | None = None
) -> io.NodeOutput:
    """A latent, its images, and on the node their preview, with notes and what is odd about the latent."""
    images = to_comfy(synthesize(gan, latent, report))
    shown = with_notes(ui.PreviewImage(images, cls=cls), foreign_note(gan, latent), *notes)
    return io.NodeOutput(latent.to("cpu"), as_output(images), ui=shown)


def with_notes(shown: ui.PreviewImage, *notes: str) -> dict[str, Any]:
    """A preview, and beneath it the notes that are not empty, each once."""
    said = list(dict.fromkeys(note for note in notes if note))
    return {**shown.as_dict(), **({"text": tuple(said)} if said else {})}


def offered(output: io.NodeOutput, directions: resefa.Directions) -> io.NodeOutput:
    """The output of a node that has directions, which also tells the browser what to offer: a name for each,
    and the strengths that are worth offering."""
    told = {"names": list(directions.names), "range": list(directions.strength_range)}
    shown = output.ui if isinstance(output.ui, dict) else output.ui.as_dict()
    output.ui = {**shown, "resefa_directions": (told,)}
    return output


def foreign_note(gan: LoadedGAN, latent: resefa.Latent) -> str:
    """What the user should know where a latent was made with other weights, else nothing."""
    if latent.generator in (None, *gan.generator.fits):
        return ""
    return f"note: a latent was made with another generator than {gan.generator.name}"


def feather_input(tooltip: str, optional: bool = False) -> io.Input:
    """How soft the edge of confined edits is."""
    least, most = resefa.defaults.FEATHERS
    return io.Float.Input(
        "confine_feather",
        default=resefa.defaults.CONFINED_FEATHER,
        min=least,
        max=most,
        step=0.005,
        optional=optional,
        tooltip=tooltip,
        advanced=True,
    )


def layers_inputs() -> list[io.Input]:
    """The choice of layers, by group or by list."""
    return [
        io.Combo.Input(
            "layers",
            options=["all", "coarse", "middle", "fine", "list"],
            default="all",
            tooltip="Which layers move: coarse ones shape, fine ones colour and texture; or your own list.",
        ),
        io.String.Input(
            "layer_list",
            default="",
            placeholder="0-3, 6",
            tooltip="With layers set to 'list': their numbers, counted from 0, like 0-3, 6.",
            advanced=True,
        ),
    ]


def chosen_layers(generator: resefa.Generator, layers: str, layer_list: str) -> tuple[int, ...]:
    """The layers that the widgets of `layers_inputs` say."""
    return generator.choose_layers(layer_list if layers == "list" else layers)


class SampleGANLatent(Node):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="ReSeFa_SampleGANLatent",
            display_name="Sample GAN Latent",
            description="Draw faces, or whatever the GAN makes, by seed.",
            search_aliases=["stylegan sample", "generate gan image", "seed", "random face"],
            inputs=[
                GAN.Input("gan", tooltip="From Load GAN."),
                io.Int.Input(
                    "seed",
                    default=7,
                    min=0,
                    max=_LARGEST_SEED,
                    control_after_generate=True,
                    tooltip="The same seed gives the same image here and in NVIDIA's tools.",
                ),
                io.Float.Input(
                    "truncation",
                    default=resefa.defaults.TRUNCATION,
                    min=0.0,
                    max=1.5,
                    step=0.05,
                    display_mode=io.NumberDisplay.slider,
                    tooltip="1: as varied as the GAN can; lower: closer to its mean image, and cleaner.",
                ),
                io.Int.Input(
                    "batch_size",
                    default=1,
                    min=1,
                    max=64,
                    tooltip="How many images: the seed, and those that follow it.",
                ),
                io.Int.Input(
                    "class_index",
                    default=0,
                    min=0,
                    max=100_000,
                    tooltip="The class, where the GAN has classes; otherwise ignored.",
                    advanced=True,
                ),
                io.String.Input(
                    "class_name",
                    default="",
                    placeholder="golden retriever",
                    tooltip="The class in words, or part of its name, instead of its number.",
                    optional=True,
                    advanced=True,
                ),
            ],
            outputs=latent_outputs(),
        )

    @classmethod
    def run(
        cls,
        gan: LoadedGAN,
        seed: int,
        truncation: float,
        batch_size: int,
        class_index: int,
        class_name: str = "",
    ) -> io.NodeOutput:
        seeds = [(seed + i) % samples.SEEDS for i in range(batch_size)]
        generator = gan.ready()
        label = None
        if generator.num_classes:
            label = generator.find_class(class_name) if class_name.strip() else class_index
        return with_image(cls, gan, generator.sample(seeds, truncation, label))


class MixLatents(Node):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="ReSeFa_MixLatents",
            display_name="Mix Latents",
            description="Blend two latents on all or some layers (style mixing).",
            search_aliases=["style mixing", "blend latents", "interpolate gan", "latent lerp"],
            inputs=[
                GAN.Input("gan", tooltip="From Load GAN."),
                GANLatent.Input("first", tooltip="Kept where the amount is 0, and on the other layers."),
                GANLatent.Input("second", tooltip="Taken where the amount is 1."),
                io.Float.Input(
                    "amount",
                    default=0.5,
                    min=-1.0,
                    max=2.0,
                    step=0.05,
                    display_mode=io.NumberDisplay.slider,
                    tooltip="0: the first; 1: the second; between: a blend.",
                ),
                *layers_inputs(),
            ],
            outputs=latent_outputs(),
        )

    @classmethod
    def run(
        cls,
        gan: LoadedGAN,
        first: resefa.Latent,
        second: resefa.Latent,
        amount: float,
        layers: str,
        layer_list: str,
    ) -> io.NodeOutput:
        generator = gan.ready()
        mixed = resefa.mix(generator, first, second, amount, chosen_layers(generator, layers, layer_list))
        return with_image(cls, gan, mixed, *(foreign_note(gan, latent) for latent in (first, second)))


class LoadGANLatent(Node):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="ReSeFa_LoadGANLatent",
            display_name="Load GAN Latent",
            description="Load a latent: one saved by this pack, a PNG with one, or a projector's codes.",
            search_aliases=["load w", "projected latent", "npz latent"],
            inputs=[
                GAN.Input("gan", tooltip="From Load GAN; the generator that the latent is for."),
                io.Combo.Input(
                    "file",
                    options=folders.latent_names(),
                    tooltip="Files of the input folder, and latents saved by this pack. "
                    "PNG, safetensors, or a projector's or an encoder's npz, npy, pt or safetensors.",
                ),
                io.Combo.Input(
                    "rows",
                    options=list(_ROWS),
                    default=next(iter(_ROWS)),
                    optional=True,
                    advanced=True,
                    tooltip="What the N vectors of an array are: the layers of one latent, or N images in w. "
                    "By their number: layers where the GAN has as many.",
                ),
            ],
            outputs=latent_outputs(),
        )

    @classmethod
    def validate_inputs(cls, file: str | None) -> bool | str:
        return folders.validated(folders.latent_file, file)

    @classmethod
    def fingerprint_inputs(cls, gan: object, file: str | None, **others: object) -> str:
        return folders.fingerprint(folders.latent_file, file)

    @classmethod
    def run(cls, gan: LoadedGAN, file: str, rows: str = "by their number") -> io.NodeOutput:
        edited, note = resefa.open_latent(folders.latent_file(file), gan.ready(), _ROWS[rows])
        return with_image(cls, gan, edited.latent, *edited.edit.words, note)


class SaveGANLatent(Node):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="ReSeFa_SaveGANLatent",
            display_name="Save GAN Latent",
            description="Save a latent, edits included, to output/gan_latents.",
            search_aliases=["save w", "keep latent"],
            is_output_node=True,
            inputs=[
                GANLatent.Input("latent", tooltip="From any GAN node."),
                io.String.Input(
                    "filename", default="latent", tooltip="A number is added where the name is taken."
                ),
            ],
            outputs=[io.String.Output("path", display_name="path", tooltip="The file that was written.")],
        )

    @classmethod
    def run(cls, latent: resefa.Latent, filename: str) -> io.NodeOutput:
        file = folders.free_file(folders.latents_folder(), filename, ".safetensors")
        latent.save(file)
        return io.NodeOutput(str(file), ui=ui.PreviewText(f"saved {file}"))


class SaveGANImage(Node):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="ReSeFa_SaveGANImage",
            display_name="Save GAN Image",
            description="Save images as PNG files that carry their latents, for Load GAN Latent.",
            search_aliases=["save image with latent", "png latent"],
            is_output_node=True,
            inputs=[
                io.Image.Input("image", tooltip="The images of the latent, in its order."),
                GANLatent.Input("latent", tooltip="What the files are to carry."),
                io.String.Input(
                    "filename_prefix",
                    default="gan_latents/image",
                    tooltip="As in Save Image. Load GAN Latent lists what is in gan_latents.",
                ),
            ],
            outputs=[],
            hidden=[io.Hidden.prompt, io.Hidden.extra_pnginfo],
        )

    @classmethod
    def run(cls, image: Tensor, latent: resefa.Latent, filename_prefix: str) -> io.NodeOutput:
        images = from_comfy(image)
        if len(images) != len(latent):
            raise resefa.LatentError(f"{len(images)} images for {len(latent)} latents: expected as many")
        files, subfolder = folders.numbered_images(filename_prefix, len(latent), *images.shape[2:])
        saved = []
        for index, file in enumerate(files):
            texts = {
                **cls._workflow(),
                resefa.PNG_KEY: latent[index].to_text(),
                **pasting.mark_of(latent),
            }
            resefa.save_png(resefa.to_pil(images[index]), file, texts=texts)
            saved.append(ui.SavedResult(file.name, subfolder, io.FolderType.output))
        return io.NodeOutput(ui=ui.SavedImages(saved))

    @classmethod
    def _workflow(cls) -> dict[str, str]:
        """The graph, where the core's own nodes put it, unless the user has switched that off."""
        if args.disable_metadata:
            return {}
        graph = {"prompt": cls.hidden.prompt, **(cls.hidden.extra_pnginfo or {})}
        return {name: json.dumps(part) for name, part in graph.items() if part}
