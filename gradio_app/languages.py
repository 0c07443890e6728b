"""The page in the language of a visitor's browser.

The server speaks English alone. What Gradio's components say is translated on its way to the browser, in the
page's own description of itself. What the page's widgets say, the server's sentences among it, their scripts
translate (`translate.js`), from words that come with the page.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

ENGLISH = "en"
FIELDS = ("label", "info", "placeholder", "value")
"""Of Gradio's components: what people read."""

_FOLDER = Path(__file__).with_name("locales")
_CONFIG, _CONFIG_ENDS = b"window.gradio_config = ", b";</script>"
_HTML = b'lang="en"'
_ENTRY = re.compile(r"\s*([A-Za-z]{2,8})(?:-[A-Za-z0-9-]*)?\s*(?:;\s*q=([01](?:\.\d{0,3})?)\s*)?")
_LONGEST_HEADER = 500


@dataclass(frozen=True)
class Language:
    """Translations of English texts.

    Attributes:
        code: of the language, as in `lang="de"`.
        fields: of what Gradio's components say.
        words: of what the widgets say; texts with `{names}` are filled in.
    """

    code: str = ENGLISH
    fields: Mapping[str, str] = field(default_factory=dict)
    words: Mapping[str, str] = field(default_factory=dict)

    def say(self, text: str, **values: object) -> str:
        """One of the widgets' texts, filled in.

        Example:
            >>> Language(words={"picture {number}": "Bild {number}"}).say("picture {number}", number=5)
            'Bild 5'
        """
        return self.words.get(text, text).format(**values)

    def page(self, html: bytes) -> bytes:
        """Gradio's page in this language."""
        if self.code == ENGLISH:
            return html
        html = html.replace(_HTML, f'lang="{self.code}"'.encode("ascii"), 1)
        before, mark, after = html.partition(_CONFIG)
        config, ends, rest = after.partition(_CONFIG_ENDS)
        if not ends:
            return html
        told = json.loads(config)
        for component in told["components"]:
            self._translate(component["props"])
        return before + mark + in_script(told).encode("utf-8") + ends + rest

    def _translate(self, props: dict[str, Any]) -> None:
        for name in FIELDS:
            if isinstance(props.get(name), str):
                props[name] = self.fields.get(props[name], props[name])
        if isinstance(props.get("choices"), list):
            props["choices"] = [[self.fields.get(name, name), value] for name, value in props["choices"]]


def in_script(value: object) -> str:
    """A value as it may stand in a page's script."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _read(file: Path) -> Language:
    told = json.loads(file.read_text(encoding="utf-8"))
    return Language(file.stem, told["fields"], told["words"])


LANGUAGES = {ENGLISH: Language()} | {file.stem: _read(file) for file in sorted(_FOLDER.glob("*.json"))}


def asked(accepted: str, query: str = "") -> Language:
    """The language to answer in; English where none of those that are asked for is here.

    Args:
        accepted: the header `Accept-Language`.
        query: of the page's address; `lang=de` goes before the header.

    Example:
        >>> asked("nl, fr-CH;q=0.8, de;q=0.9").code, asked("nl").code, asked("de", "lang=ja").code
        ('de', 'en', 'ja')
    """
    wanted = parse_qs(query).get("lang", [""])[0]
    if wanted in LANGUAGES:
        return LANGUAGES[wanted]
    entries = (_ENTRY.fullmatch(entry) for entry in accepted[:_LONGEST_HEADER].split(","))
    ranked = [(float(entry[2] or 1), entry[1].lower()) for entry in entries if entry]
    here = [(weight, code) for weight, code in ranked if weight > 0 and code in LANGUAGES]
    return LANGUAGES[max(here, key=lambda pair: pair[0])[1]] if here else LANGUAGES[ENGLISH]
