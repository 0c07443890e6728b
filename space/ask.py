"""Asks a running demo for a picture, for directions, and for an edit with them: `python space/ask.py URL`.

URL is an address, or a Space's name (`ACCOUNT/NAME`). Needs the packages gradio_client and pillow.
Exit codes: 0 all were given, 1 not, with the reason on standard error.
"""

from __future__ import annotations

import sys

from gradio_client import Client, handle_file
from PIL import Image, ImageChops

SEED = 13


def ask(url: str) -> str:
    """What the demo answered, in a line.

    Raises:
        ValueError: it answered, but not what was expected.
    """
    client = Client(url, verbose=False)
    drawn = client.predict(SEED, 0.7, api_name="/draw_face")
    file, report = client.predict(seed=SEED, region="mouth", api_name="/find_directions")
    best = report["directions"][0]
    if not best["inside"] > best["outside"]:
        raise ValueError(f"the best direction for the mouth changes more outside it: {best}")
    edited = client.predict(handle_file(file), "[3]", seed=SEED, api_name="/apply_directions")
    with Image.open(drawn) as before, Image.open(edited) as after:
        width, height = after.size
        if ImageChops.difference(before.convert("RGB"), after.convert("RGB")).getbbox() is None:
            raise ValueError("an edit by three steps changed nothing")
    return f"a picture of {width} x {height}, {len(report['directions'])} directions, an edit"


def main(arguments: list[str]) -> int:
    """Returns the exit code."""
    if len(arguments) != 1 or arguments[0].startswith("-"):
        print(__doc__, file=sys.stderr)
        return 2
    try:
        print(ask(arguments[0]))
    except Exception as error:
        print(f"{arguments[0]} does not answer as it should: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
