"""`resefa download`."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..checkpoints.downloads import catalogue, download, find_entry
from .command import Command
from .options import refuse_existing
from .terminal import progress


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", help="a name that --list shows")
    parser.add_argument("--list", action="store_true", help="show the catalogue")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="default: the name, here")
    parser.add_argument("--force", action="store_true", help="replace the file if it exists")
    parser.add_argument(
        "--sha256",
        metavar="DIGITS",
        help="what the file's checksum has to be (default: the published one, or that of the first download "
        "of that name, kept in FILE.sha256)",
    )


def _run(options: argparse.Namespace) -> None:
    if options.list or options.name is None:
        for entry in catalogue().values():
            size = "size unknown" if entry.bytes is None else f"{entry.bytes / 1e6:.0f} MB"
            print(f"{entry.name:<34} {entry.what}; {entry.format}; {size}; {entry.license}; {entry.page}")
        return
    entry = find_entry(options.name)
    output: Path = options.output or entry.file
    refuse_existing(options, output)
    print(f"{entry.what}. License: {entry.license}. From: {entry.page}")
    with progress(f"downloading {entry.name}") as report:
        digest = download(entry, output, options.force, report, options.sha256)
    print(f"wrote {output}\nSHA-256 {digest}")


COMMAND = Command(
    "download",
    "fetch a public generator by its name in the catalogue",
    (
        "resefa download --list",
        "resefa download stylegan3-t-ffhqu-256x256",
        "resefa download stylegan2-ffhq-config-f -o generators/ffhq.pkl",
    ),
    _add_arguments,
    _run,
)
