"""One visitor's steps: each is given what the browser sent, and yields what the page is to show.

What is shown is told as updates: a dictionary from a part of the page to its new value. What is done to the
picture is a `Session`'s. Knows nothing of Gradio.
"""

from __future__ import annotations

from gradio_app.quota import Quota
from gradio_app.steps.comparing import Comparing
from gradio_app.steps.direction_files import DirectionFiles
from gradio_app.steps.editing import NUM_OTHERS, Editing
from gradio_app.steps.faces import FIRST_SEED, Faces
from gradio_app.steps.one_click import OneClick
from gradio_app.steps.photos import Photos
from gradio_app.studio import Studio

__all__ = ["FIRST_SEED", "NUM_OTHERS", "Steps"]


class Steps(Faces, Editing, OneClick, Comparing, DirectionFiles, Photos):
    """The steps of all visitors, on one studio.

    Args:
        quota: of the files that are saved; none is counted for None.
    """

    def __init__(self, studio: Studio, quota: Quota | None = None) -> None:
        super().__init__(studio)
        self._quota = quota
