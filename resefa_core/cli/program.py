"""The program: its parser, and how a command ends."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence

from .. import threads
from .._version import __version__
from ..errors import ReSeFaError
from ..workers import freed
from . import (
    atlas,
    browse,
    convert,
    demo,
    download,
    edit,
    evaluate,
    factorize,
    generate,
    info,
    invert,
    parts,
    publish,
    sweep,
)
from .command import Command

EXIT_ERROR = 1
EXIT_INTERRUPTED = 130

COMMANDS: tuple[Command, ...] = (
    generate.COMMAND,
    factorize.COMMAND,
    sweep.COMMAND,
    edit.COMMAND,
    invert.COMMAND,
    convert.COMMAND,
    evaluate.COMMAND,
    info.COMMAND,
    parts.COMMAND,
    atlas.COMMAND,
    download.COMMAND,
    browse.COMMAND,
    publish.COMMAND,
    demo.COMMAND,
)

_EXAMPLES = """\
examples:
  resefa generate --seeds 0-15 -o faces.png
  resefa factorize --seed 13 --region mouth -o mouth.safetensors --sheet mouth.png
  resefa sweep mouth.safetensors --seed 21 -o strips.png
  resefa edit mouth.safetensors --seed 13 --move 0=3 --move 1=-2 -o edited.png
  resefa info mouth.safetensors

`resefa COMMAND --help` tells more about each. Exit codes: 0 done, 1 refused or failed (the reason is on
standard error), 2 unusable arguments, 130 interrupted."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: those of a call from within a program; this process's own for None.

    Returns:
        0 if done, 1 if it was refused or failed, 130 if interrupted. Unusable arguments exit with 2.
    """
    options = parser().parse_args(arguments)
    if arguments is None:
        freed.keep_returning()
    threads.settle()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    try:
        options.run(options)
        sys.stdout.flush()
        return 0
    except ReSeFaError as error:
        print(f"resefa: error: {error}", file=sys.stderr)
        return EXIT_ERROR
    except KeyboardInterrupt:
        print("resefa: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_ERROR
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        print(f"resefa: error: {ReSeFaError(error)}", file=sys.stderr)
        return EXIT_ERROR


def parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    whole = argparse.ArgumentParser(
        prog="resefa",
        description="Point at a region of a GAN's image; get latent directions that change only that.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    whole.add_argument("--version", action="version", version=f"resefa {__version__}")
    commands = whole.add_subparsers(required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add_to(commands)
    return whole
