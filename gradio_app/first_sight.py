"""What a visitor sees while the scripts of the page are still on their way: the first face."""

from __future__ import annotations

import json
from pathlib import Path

from gradio_app.payloads import data_url
from resefa_core.session import Session

_SCRIPT = Path(__file__).with_suffix(".html").read_text(encoding="utf-8")


def head(session: Session) -> str:
    """What stands in the page's head, to show a session's face before all else."""
    picture = json.dumps(data_url(session.picture))
    words = json.dumps(f"A face that {session.generator.name} drew").replace("<", "\\u003c")
    return _SCRIPT.replace("PICTURE", picture).replace("WORDS", words)
