"""The page in other languages: all that people read has a translation in each, and none is left over."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("gradio", reason="gradio is not installed")

import gradio as gr
from demo_browser import find_chromium, launch

import resefa_core as resefa
from gradio_app import photos
from gradio_app.languages import ENGLISH, FIELDS, LANGUAGES, Language, asked
from gradio_app.page import Settings, build
from gradio_app.presence import Presence
from gradio_app.quota import Quota
from gradio_app.steps import showing
from gradio_app.studio import Studio
from resefa_core.directions import words
from resefa_core.directions.bundled import bundled_sets
from resefa_core.regions import PRESETS

ROOT = Path(__file__).resolve().parents[2]
WIDGETS = ROOT / "gradio_app" / "widgets"
OTHERS = sorted(set(LANGUAGES) - {ENGLISH})
NAMES = {"cc-by-4.0", "avatars-mouth", "mouth, ffhq, …"}
"""Examples, which are the same everywhere."""
OF_PROGRAMS = ("a part {}: expected", "a place is x and y")
"""What pages never send, but programs may."""
MADE = {
    "This file can't be used: it is damaged, or of a kind that is not known here",
    "What was edited can't be brought back: {reason}",
    "Next in line: about {time}",
    "{number} before you in line: about {time}",
    "One direction file found",
    "No direction files found",
    "{number} direction files found",
    "Published: {url}",
    "Updated: {url}",
    "On {count} pictures it has not seen, the first direction changes the region {number} times as much as "
    "the rest; the one before: {ratio} times",
    "{number} times as much inside as outside",
    "{number} images",
    "{number} image",
    "strong effect",
    "clear effect",
    "faint effect",
}
"""Texts that the sources put together of pieces."""
_QUOTED = r'[^"\\]*'
_HOLE = re.compile(r"\{\w*\}")


def german() -> Language:
    return LANGUAGES["de"]


def test_the_page_has_the_languages_of_the_nodes() -> None:
    assert sorted(LANGUAGES) == sorted(folder.name for folder in (ROOT / "locales").iterdir())


@pytest.mark.parametrize("code", OTHERS)
def test_a_language_has_every_text_and_fills_in_the_same(code: str) -> None:
    for mine, all_ in (
        (LANGUAGES[code].fields, german().fields),
        (LANGUAGES[code].words, german().words),
    ):
        assert list(mine) == list(all_)
        for text, translated in mine.items():
            assert translated or text == " ", text
            assert sorted(_HOLE.findall(text)) == sorted(_HOLE.findall(translated)), text
            assert re.findall(r"\]\((\S+?)\)|`([^`]+)`", text) == re.findall(
                r"\]\((\S+?)\)|`([^`]+)`", translated
            ), text


@pytest.mark.parametrize(
    ("accepted", "query", "code"),
    [
        ("de-DE,de;q=0.9,en;q=0.8", "", "de"),
        ("en-US,en;q=0.9,de;q=0.8", "", "en"),
        ("nl,fr;q=0.5,ja;q=0.7", "", "ja"),
        ("zh-Hant-TW", "", "zh"),
        ("de;q=0, *", "", "en"),
        ("", "seed=3&lang=ko", "ko"),
        ("fr", "lang=xx", "fr"),
        ("de;q=nan,\x00,;;,ja;q=2," + "x" * 10_000, "", "en"),
    ],
)
def test_the_language_that_is_asked_for(accepted: str, query: str, code: str) -> None:
    assert asked(accepted, query).code == code


@pytest.fixture(scope="module")
def configs(avatars: resefa.Generator, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What Gradio tells browsers of the page: on a machine of one's own, and on Spaces."""
    folder = tmp_path_factory.mktemp("made")

    def built(on_space: bool) -> dict[str, Any]:
        settings = Settings(folder, Presence(), Quota(folder), checkpoints=not on_space, on_space=on_space)
        return dict(build(Studio({"avatars": avatars}), settings).get_config_file())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(photos, "can_find_faces", lambda: False)
        told = [built(False)]
        patch.setattr(photos, "can_find_faces", lambda: True)
        told.append(built(True))
        patch.setattr(gr, "LoginButton", lambda: None)  # needs packages that are there on Spaces alone
        patch.setenv("SYSTEM", "spaces")
        patch.setenv("OAUTH_CLIENT_ID", "some")
        return [*told, built(True)]


def seen(config: dict[str, Any]) -> Iterator[str]:
    """What people read of Gradio's components; those of the page's API are in a row that nobody sees."""
    components = {component["id"]: component for component in config["components"]}

    def below(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
        component = components.get(node.get("id"))
        if component is not None:
            if component["props"].get("visible") is False and component["type"] == "row":
                return
            yield component
        for child in node.get("children") or []:
            yield from below(child)

    for component in below(config["layout"]):
        props, kind = component["props"], component["type"]
        for name in FIELDS:
            words = props.get(name)
            if isinstance(words, str) and words and (name != "value" or kind in ("button", "markdown")):
                yield words
        if kind == "dropdown":
            yield from (name for name, value in props["choices"] if not value)


def test_all_that_gradios_components_say_is_translated_and_nothing_else(
    configs: list[dict[str, Any]],
) -> None:
    said = {words for config in configs for words in seen(config)} - NAMES
    assert said - set(german().fields) == set()
    assert set(german().fields) - said == set()


def test_gradios_page_is_translated_on_its_way() -> None:
    props = {"label": "Title", "value": "Title", "info": None, "choices": [["as the file says", ""]]}
    config = {"components": [{"props": props}, {"props": {"value": 3}}], "x": "</script> \u2028"}
    page = f'<html lang="en"><script>window.gradio_config = {json.dumps(config)};</script> Title</html>'
    page = page.replace("</script> \\", "\\u003c/script> \\")
    shown = german().page(page.encode()).decode()
    assert shown.startswith('<html lang="de">')
    assert shown.endswith(" Title</html>")
    told = json.loads(shown.partition("= ")[2].partition(";</script>")[0])
    assert told["components"][0]["props"] == {
        "label": "Titel",
        "value": "Titel",
        "info": None,
        "choices": [["wie in der Datei", ""]],
    }
    assert told["x"] == config["x"]
    assert LANGUAGES[ENGLISH].page(page.encode()) == page.encode()
    assert german().page(b"<html>no page</html>") == b"<html>no page</html>"


class _Texts(HTMLParser):
    """What people read of a template."""

    def __init__(self, template: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(template)

    def handle_data(self, data: str) -> None:
        self.found += [data.strip()] if data.strip() else []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = ("title", "alt", "aria-label", "aria-roledescription")
        self.found += [value for name, value in attrs if name in names and value]


def of_widgets() -> set[str]:
    """What the widgets say by themselves."""
    told = [text for file in WIDGETS.glob("*.html") for text in _Texts(file.read_text("utf-8")).found]
    for file in WIDGETS.glob("*.js"):
        for call in re.findall(
            rf'translate\((?:\w+ \? )?"({_QUOTED})"(?: : "({_QUOTED})")?', file.read_text("utf-8")
        ):
            told += call
    return {text for text in told if re.search(r"[^\W\d_]", text)}


def test_all_that_widgets_say_is_translated() -> None:
    assert of_widgets() - set(german().words) == set()


@pytest.mark.parametrize("file", sorted(WIDGETS.glob("*.js")), ids=lambda file: file.stem)
def test_scripts_pass_on_what_people_read(file: Path) -> None:
    script = file.read_text("utf-8")
    plain = (
        r'(?:\b(?:textContent|title|alt|placeholder)\s*[:=]|setAttribute\("(?:aria-label|title|alt)",)\s*["`]'
    )
    assert re.findall(plain + r"[^\"`]*[A-Za-z]{2}[^\"`]*", script) == []


def parsed(*folders: str) -> list[ast.AST]:
    files = [file for folder in folders for file in (ROOT / folder).rglob("*.py")]
    return [ast.parse(file.read_text("utf-8")) for file in files]


def form_of(node: ast.AST) -> str | None:
    """A text of the sources, with `{}` for what is filled in."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(form_of(part) or "{}" for part in node.values)
    return None


def said_by_steps() -> set[str]:
    """Sentences that the demo's own code tells visitors."""
    found = set()
    for tree in parsed("gradio_app"):
        if "def add_endpoints" in ast.unparse(tree):  # what programs ask for
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
                name = ast.unparse(node.exc.func)
                told = node.exc.args[:1] if name.endswith("Error") and name != "ValueError" else []
            elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("said", "working", "problem"):
                told = node.args[:1]
            elif isinstance(node, ast.Call) and ast.unparse(node.func) == "progress":
                told = node.args[1:2]
            else:
                continue
            found |= {form for form in map(form_of, told) if form}
    return {form for form in found if re.search(r"^[^{].*[a-z]{3}", form)}


@pytest.fixture(scope="module")
def vocabulary() -> set[str]:
    """Words of regions, and of what directions do."""
    regions = {name for names in PRESETS.values() for name in names}
    for name in resefa.bundled_names():
        regions |= set(resefa.Session(resefa.load_generator(name)).part_names)
    moves = {
        form
        for pair in ast.walk(ast.parse(Path(words.__file__).read_text("utf-8")))
        if isinstance(pair, ast.Tuple) and len(pair.elts) == 2
        for form in map(form_of, pair.elts)
        if form
    }
    named = {side for each in bundled_sets().values() for name in each.names for side in name.split(" / ")}
    sides = {f"{light} {there}" for light in ("lighter", "darker") for there in words._PLACES}
    return {name.replace("_", " ") for name in regions} | moves | named | sides | {words.UNKNOWN}


def ways() -> set[str]:
    """How many ways there are, as the page's heading says it."""
    told = set()
    for count in (1, 4):
        for quick in (False, True):
            session: Any = SimpleNamespace(selected=None, is_quick=lambda _, quick=quick: quick)
            directions: Any = range(count)
            told.add(showing._ways(session, directions))
    return told


def test_no_translation_is_left_over(vocabulary: set[str]) -> None:
    """All texts between what is filled in are in the sources."""
    own = {
        form for tree in parsed("gradio_app", "resefa_core") for form in map(form_of, ast.walk(tree)) if form
    }
    pieces = {piece for form in own for piece in form.split("{}")}
    sources = "\n".join(pieces)
    assert set(german().words) >= MADE
    made = of_widgets() | MADE | vocabulary | {"center {number}"}
    made |= {re.sub(r"\d+", "{number}", way).replace("this part", "{part}") for way in ways()}
    left = []
    for text in german().words:
        told = [piece.strip() for piece in _HOLE.split(text.rstrip("."))]
        if text not in made and not all(piece in sources for piece in told):
            left.append(text)
    assert left == []


@pytest.fixture(scope="module")
def translate() -> Iterator[Any]:
    """The page's own function, in a real browser: texts in German."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if find_chromium() is None:
        pytest.skip("no browser: set RESEFA_CHROMIUM, or install chromium or google-chrome")
    script = (WIDGETS.parent / "translate.js").read_text("utf-8")
    with sync_api.sync_playwright() as playwright:
        browser = launch(playwright)
        page = browser.new_page()

        def translated(texts: list[str], code: str = "de") -> list[str]:
            return list(
                page.evaluate(
                    "([words, script, texts]) => {"
                    " window.resefa = { words };"
                    " const made = new Function(script + '; return resefa.translate')();"
                    " return texts.map((text) => made(text)); }",
                    [dict(LANGUAGES[code].words), script, texts],
                )
            )

        yield translated
        browser.close()


def test_all_that_visitors_are_told_is_translated(translate: Any, vocabulary: set[str]) -> None:
    told = {form for form in said_by_steps() if not form.startswith(OF_PROGRAMS)} | MADE | vocabulary | ways()
    sentences = sorted(_HOLE.sub("7", form) for form in told)
    same = [text for text, german in zip(sentences, translate(sentences), strict=True) if german == text]
    assert same == []


def test_texts_are_put_together_of_their_parts(translate: Any) -> None:
    expected = {
        "4 quick ways to change the mouth; better ones follow. The link's seed 'x' makes no sense.": (
            "Mund: 4 schnelle Varianten; bessere folgen. seed 'x' im Link ergibt keinen Sinn."
        ),
        "2 ways to change this part alone, found on 4 pictures together. Move a slider.": (
            "dieser Teil: 2 Varianten, nur dort, auf 4 Bildern zusammen gefunden. Einen Regler bewegen."
        ),
        "4 ways to change the left eye, by SeFa. Move a slider.": (
            "linkes Auge: 4 Varianten, mit SeFa. Einen Regler bewegen."
        ),
        "opens, wider / closes, narrower 2": "öffnen, breiter / schließen, schmaler 2",
        "colour: redder / greener": "Farbe: röter / grüner",
        "left eye turns right": "linkes Auge: nach rechts drehen",
        "strong effect, the rest stays": "starke Wirkung, Rest bleibt",
        "3 before you in line: about 2 minutes": "3 davor: etwa 2 Minuten",
        "many people are here: this would start in about 7 s. Try again later; sliders and parts of this "
        "picture go on working": "gerade sind viele Besucher hier: Es ginge erst in etwa 7 s los. Später "
        "noch einmal versuchen; Regler und Teile dieses Bildes gehen weiter",
        "this image has no hat: choose another part, or a box": (
            "dieses Bild hat dies nicht: Hut. Einen anderen Teil wählen, oder einen Rahmen"
        ),
        "x.npy can't be used: it is damaged, or of a kind that is not known here.": (
            "x.npy ist nicht brauchbar: Die Datei ist beschädigt oder von einer Art, die hier unbekannt ist."
        ),
    }
    assert dict(zip(expected, translate(list(expected)), strict=True)) == expected


def test_what_methods_take_and_why_it_is_refused_is_translated(translate: Any) -> None:
    parameters = [each for method in resefa.METHODS.values() for each in method.parameters]
    texts = sorted({each.help for each in parameters})
    for each in parameters:
        with pytest.raises(resefa.ParameterError) as refused:
            each.check("x")
        texts.append(str(refused.value))
    assert [text for text, shown in zip(texts, translate(texts), strict=True) if shown == text] == []
    assert translate(texts[-1:]) == ["overlap 'x' liegt außerhalb: eine ganze Zahl von 0 bis 1 wird erwartet"]


def test_texts_of_strangers_stay_as_they_are(translate: Any) -> None:
    texts = ["constructor", "{constructor}", "__proto__", "<b>{name}</b>", "smile +2", "x, y / z", "", " "]
    texts += ["a alone, by b" * 40, "no; such / thing, " * 30 + "7"]
    assert translate(texts[:7]) == texts[:7]
    assert len(translate(texts)) == len(texts)


def test_japanese_has_no_spaces_between_sentences(translate: Any) -> None:
    shown = translate(["4 ways to change the mouth. Move a slider."], "ja")
    assert shown == ["口の変え方4通り。スライダーを動かしてください。"]
