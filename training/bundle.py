"""Puts a trained generator beside those that come with the package.

    python training/bundle.py RUN_DIR/generator.safetensors avatars-128

Its title becomes its name, by which everything knows it; whom to credit and its license are those of its
drawings. Parts and directions of weights that were there before no longer fit: find and name them anew.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from resefa_core import load_generator  # noqa: E402
from resefa_core.checkpoints import BUNDLED  # noqa: E402
from resefa_core.errors import CheckpointError  # noqa: E402
from resefa_core.files import HASH_KEY, read_tensors, write_tensors  # noqa: E402

MOST_BYTES = 64 << 20


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("generator", type=Path, help="a file that paired.py or adversarial.py wrote")
    parser.add_argument("name")
    parser.add_argument("--folder", type=Path, default=BUNDLED, help="where to put it (%(default)s)")
    options = parser.parse_args(arguments)
    tensors, about = read_tensors(options.generator, CheckpointError, MOST_BYTES)
    about = {key: text for key, text in about.items() if key != HASH_KEY} | {"modelspec.title": options.name}
    file = options.folder / f"{options.name}.safetensors"
    write_tensors(file, tensors, about, CheckpointError, overwrite=True)
    print(f"{file.name}: {file.stat().st_size:,} bytes, fingerprint {load_generator(file).fingerprint}")


if __name__ == "__main__":
    main()
