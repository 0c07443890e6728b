"""`resefa publish`."""

from __future__ import annotations

import argparse
from dataclasses import replace
from types import ModuleType

from ..atlas import Atlas
from ..atlas.pages import atlas_sheet
from ..errors import ParameterError
from ..kinds import Kind, kind_of_file
from ..optional import the_hub
from .command import Command
from .drawing import sheet
from .options import add_directions, generator_for, open_both, open_directions
from .terminal import progress


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_directions(parser, "a direction file, of this program or another, or an atlas")
    parser.add_argument("repository", help="where to: a name, in the account of `hf auth login`")
    for field in ("title", "author", "description"):
        parser.add_argument(f"--{field}", default="", help=f"the set's {field} (default: what the file says)")
    parser.add_argument(
        "--license",
        help="such as cc0-1.0, apache-2.0, mit, other (default: the file's, or cc-by-4.0)",
    )
    parser.add_argument("--base-model", metavar="AUTHOR/NAME", help="the generator's repository on the Hub")
    parser.add_argument("--private", action="store_true", help="make a new repository private")
    parser.add_argument("--no-picture", action="store_true", help="publish without strips of what they do")


def _run(options: argparse.Namespace) -> None:
    hub = the_hub()
    token = hub.own_token()
    if kind_of_file(options.file) == Kind.ATLAS:
        _publish_atlas(options, hub, token)
        return
    session = None
    if options.no_picture:
        directions = open_directions(options)
    else:
        directions, session = open_both(options)
    texts = {field: getattr(options, field) for field in ("title", "author", "description")}
    directions = replace(directions, **{field: text for field, text in texts.items() if text})
    own = "-".join(directions.license.lower().split())
    license = options.license or (own if own in hub.LICENSES else "other" if own else hub.LICENSES[0])
    picture = None
    if session is not None:
        picture = sheet(session, directions, confine=options.confine, feather=options.feather)
    with progress("publishing"):
        published = hub.publish(
            directions,
            options.repository,
            token,
            strips=picture,
            private=options.private,
            license=license,
            base_model=options.base_model,
        )
    print(f"{'updated' if published.updated else 'published'} {published.url}")


def _publish_atlas(options: argparse.Namespace, hub: ModuleType, token: str) -> None:
    for name in ("title", "author", "description", "base_model"):
        if getattr(options, name):
            raise ParameterError(f"--{name.replace('_', '-')} is for direction files: an atlas has none")
    atlas, picture = Atlas.load(options.file), None
    if not options.no_picture:
        generator = generator_for(options, atlas.generator)
        with progress("drawing") as report:
            picture = atlas_sheet(atlas, atlas.entries, generator, progress=report)
    with progress("publishing"):
        published = hub.publish_atlas(
            atlas,
            options.repository,
            token,
            sheet=picture,
            private=options.private,
            license=options.license or hub.LICENSES[0],
        )
    print(f"{'updated' if published.updated else 'published'} {published.url}")


COMMAND = Command(
    "publish",
    "publish a direction file, or an atlas, in a repository of your account on the Hugging Face Hub",
    (
        'resefa publish mouth.safetensors avatars-mouth --title "Mouths of avatars"',
        "resefa publish lipstick.safetensors ffhq-lipstick -g ffhq.safetensors --license mit",
        "resefa publish atlas.safetensors avatars-atlas",
    ),
    _add_arguments,
    _run,
)
