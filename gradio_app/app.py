"""Starts the demo: `python gradio_app/app.py`, on a machine of one's own or as a Hugging Face Space.

Options are also read from the environment, as a Space has no command line:
RESEFA_GENERATORS (names or files, separated by the system's path separator), RESEFA_CACHE_MB, RESEFA_DISK_MB,
RESEFA_LEAST_FREE_MB (of the disk, for others), RESEFA_UPLOADS, RESEFA_PHOTOS, RESEFA_WARM.
"""

from __future__ import annotations

import argparse
import atexit
import gc
import os
import shutil
import sys
import tempfile
import threading
from contextlib import suppress
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from gradio_app import accelerator  # noqa: E402  isort: skip  (before torch)
from starlette.middleware import Middleware  # noqa: E402
from starlette.middleware.gzip import GZipMiddleware  # noqa: E402

import resefa_core as resefa  # noqa: E402
from gradio_app import jobs  # noqa: E402
from gradio_app.first_sight import FirstSight, Sight  # noqa: E402
from gradio_app.frontend import Assets, Frontend  # noqa: E402
from gradio_app.guard import Guard, keep_log_short  # noqa: E402
from gradio_app.page import CSS, Settings, build, theme  # noqa: E402
from gradio_app.presence import Presence  # noqa: E402
from gradio_app.quota import Quota  # noqa: E402
from gradio_app.steps import FIRST_SEED, Steps  # noqa: E402
from gradio_app.studio import Studio  # noqa: E402
from resefa_core.defaults import SHOWN_FIRST, TRUNCATION  # noqa: E402
from resefa_core.workers import freed  # noqa: E402

QUEUE_SIZE = 2000
QUEUE_PAUSE = 0.005
"""Seconds after which an empty queue is looked at again. Gradio does it after a thousandth, which takes three
hundredths of a processor while nobody is there; so it is half."""
STEPS_AT_ONCE = 1000
MAX_UPLOAD = "64mb"
MAX_CHECKPOINT_UPLOAD = "2gb"
MAX_UPLOADS = 256 << 20
LEAST_FREE = int(os.environ.get("RESEFA_LEAST_FREE_MB", "128")) << 20
MAX_CHECKPOINT_UPLOADS = 4 << 30


def main(arguments: list[str] | None = None) -> None:
    """Read the options, load the generators, serve the page."""
    freed.keep_returning()
    keep_log_short()
    options = _options(arguments)
    on_space = bool(os.environ.get("SPACE_ID"))
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    os.environ.setdefault("GRADIO_ANALYTICS_CACHE_FREQUENCY", "1000")  # events between sums over all of them
    device = accelerator.resident_device()
    if device == "cpu":
        resefa.threads.settle(most=1)  # visitors come at once: a thread each
    try:
        loaded = [resefa.load_generator(name, device) for name in options.generator]
    except resefa.ReSeFaError as error:
        sys.exit(f"resefa demo: {error}")
    studio = Studio(
        {generator.name: generator for generator in loaded}, options.cache_mb << 20, accelerator.compute
    )
    parent = os.environ.get("GRADIO_TEMP_DIR") or None
    if parent is not None:
        Path(parent).mkdir(parents=True, exist_ok=True)
    served = Path(tempfile.mkdtemp(prefix="resefa-demo-", dir=parent))
    atexit.register(shutil.rmtree, served, ignore_errors=True)
    os.environ["GRADIO_TEMP_DIR"] = str(served)  # Gradio serves what is in there, and removes what it copied
    folder = Path(tempfile.mkdtemp(prefix="made-", dir=served))
    uploads = options.uploads and not on_space
    each = MAX_CHECKPOINT_UPLOADS if uploads else MAX_UPLOADS
    presence, quota = Presence(), Quota(served, each, options.disk_mb << 20, LEAST_FREE)
    photos = not on_space if options.photos is None else options.photos
    page = build(studio, Settings(folder, presence, quota, uploads, on_space, photos))
    page.queue(max_size=QUEUE_SIZE, api_open=False)
    page._queue.sleep_when_free = QUEUE_PAUSE
    assets = Assets({part.get_block_name() for part in page.blocks.values()})
    sight = Sight(studio.session(studio.names[0], FIRST_SEED, TRUNCATION))
    compressed = Middleware(
        GZipMiddleware, minimum_size=8192, compresslevel=5
    )  # what Gradio does not compress
    launch = partial(
        page.launch,
        prevent_thread_lock=True,
        server_name=options.host or None,
        server_port=options.port,
        inbrowser=options.browser,
        max_file_size=MAX_CHECKPOINT_UPLOAD if uploads else MAX_UPLOAD,
        app_kwargs={
            "middleware": [
                Middleware(Frontend, assets),
                compressed,
                Middleware(FirstSight, sight),
                Middleware(Guard, presence, quota),
            ]
        },
        enable_monitoring=False,
        run_history=False,
        state_session_capacity=500,
        max_threads=STEPS_AT_ONCE,
        show_error=False,
        ssr_mode=False,
        mcp_server=_has_mcp(),
        footer_links=["api"],
        theme=theme(),
        css=CSS,
    )
    try:
        launch()
    except OSError as error:
        sys.exit(f"resefa demo: the page can't be served: {error}")
    gc.freeze()  # what is here stays; collecting the loops that Gradio left open would fill a Space's log
    if options.warm:
        threading.Thread(target=_warm, args=(studio, assets, sight), daemon=True).start()
    page.block_thread()


def _options(arguments: list[str] | None) -> argparse.Namespace:
    environment = os.environ
    generators = [name for name in environment.get("RESEFA_GENERATORS", "").split(os.pathsep) if name]
    parser = argparse.ArgumentParser(prog="gradio_app/app.py", description="The ReSeFa demo in a browser.")
    parser.add_argument(
        "--generator", action="append", help="a bundled generator's name or a file; may be repeated"
    )
    parser.add_argument("--host", default="", help="address to listen on; this machine only by default")
    parser.add_argument("--port", type=int, help="7860, or the next that is free, by default")
    parser.add_argument("--browser", action="store_true", help="open the page in a browser")
    parser.add_argument(
        "--cache-mb",
        type=int,
        default=int(environment.get("RESEFA_CACHE_MB", "1024")),
        help="memory for analyses of images, in MiB",
    )
    parser.add_argument(
        "--disk-mb",
        type=int,
        default=int(environment.get("RESEFA_DISK_MB", "4096")),
        help="disk for files of all visitors together, in MiB; each is kept for an hour",
    )
    parser.add_argument(
        "--uploads",
        action="store_true",
        default=environment.get("RESEFA_UPLOADS", "") == "1",
        help="let visitors upload generators (never on a Space)",
    )
    allowed = environment.get("RESEFA_PHOTOS", "")
    parser.add_argument(
        "--photos",
        action=argparse.BooleanOptionalAction,
        default=allowed == "1" if allowed else None,
        help="let visitors bring pictures of their own (by default everywhere but on a Space)",
    )
    parser.add_argument(
        "--warm",
        action=argparse.BooleanOptionalAction,
        default=environment.get("RESEFA_WARM", "1") == "1",
        help="look at the first picture before anybody comes, and pack the page's scripts well (default)",
    )
    options = parser.parse_args(arguments)
    bundled = sorted(resefa.bundled_names(), key=lambda name: name != SHOWN_FIRST)
    options.generator = options.generator or generators or bundled
    return options


def _warm(studio: Studio, assets: Assets, sight: Sight) -> None:
    """Analyse the face that visitors see first, look at it as they will, and pack what they load."""
    session = studio.session(studio.names[0], FIRST_SEED, TRUNCATION)

    def work(_: object) -> None:
        for space in (session.quick_space, None):
            session.analyse(space, prepared=True)
            with suppress(resefa.ReSeFaError):
                sight.show(Steps(studio).first_ways())
        assets.pack()

    jobs.finished(jobs.run(work, niceness=studio.lines.layers.niceness))


def _has_mcp() -> bool:
    """Whether the packages for MCP tools are here (`pip install gradio[mcp]`)."""
    try:
        import mcp  # noqa: F401
    except ImportError:
        return False
    return True


if __name__ == "__main__":
    main()
