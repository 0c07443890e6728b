"""Direction sets on a stand-in for the Hub, by the steps of the page, and once through a page that runs."""

from __future__ import annotations

import http.client
import json
import logging
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest
from hub_server import Handler, HubServer, Repo
from serving import serving
from updates_told import Updates, last

import resefa_core as resefa

huggingface_hub = pytest.importorskip("huggingface_hub")
gr = pytest.importorskip("gradio")

from gradio_app import sharing  # noqa: E402
from gradio_app.steps import Steps  # noqa: E402
from gradio_app.studio import Studio  # noqa: E402
from gradio_app.visit import Visit  # noqa: E402
from resefa_core import hub  # noqa: E402

TOKEN = "hf_secretOfAda0123456789"
TAGGED = b"---\ntags: [resefa-directions, 'generator:stylegan2']\n---\n"
TRICKS = '<img src=x onerror=alert(1)> "]](javascript:alert(1))'


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_TELEMETRY", True)
    with HubServer() as running:
        running.tokens = {TOKEN: "ada"}
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        yield running


@pytest.fixture(scope="module")
def steps(avatars: resefa.Generator) -> Steps:
    return Steps(Studio({"avatars": avatars}))


@pytest.fixture
def visit(steps: Steps) -> Visit:
    return arrived(steps)


def arrived(steps: Steps, seed: int = 3) -> Visit:
    visit = Visit()
    list(steps.arrive(visit, {"seed": str(seed), "region": "mouth"}))
    assert visit.directions is not None
    return visit


def status(updates: Updates, kind: str) -> str:
    line = last(updates, "status")
    assert line["kind"] == kind, line
    assert TOKEN not in repr(updates)
    return str(line["text"])


def payload(visit: Visit, kept: int = 3, **names: str) -> dict[str, Any]:
    assert visit.directions is not None
    count = len(visit.directions)
    given = [names.get(f"name_{i}", "") for i in range(count)]
    return {"version": visit.version, "kept": [i < kept for i in range(count)], "names": given}


def publish(steps: Steps, visit: Visit, token: str | None = TOKEN, **changes: Any) -> Updates:
    values = {
        "payload": payload(visit),
        "name": "mouths",
        "about": "Opens it.",
        "license": "cc-by-4.0",
        "base_model": "",
        "private": False,
        "title": "Mouths",
        "author": "",
    } | changes
    return list(sharing._publish(steps, visit, token, *values.values()))


def get(steps: Steps, folder: Path, visit: Visit, choice: object) -> Updates:
    before, tempfile.tempdir = tempfile.tempdir, str(folder)
    try:
        shown = list(sharing._get(steps, visit, choice))
    finally:
        tempfile.tempdir = before
    assert list(folder.iterdir()) == [], "a download stays behind"
    assert str(folder) not in repr(shown)
    return shown


def stored(server: HubServer, folder: Path, repo_id: str = "ada/mouths") -> resefa.Directions:
    return resefa.Directions.load(hub.fetch(repo_id, "directions.safetensors", folder / "stored"))


def test_what_one_visitor_publishes_another_finds_and_uses(
    server: HubServer, steps: Steps, visit: Visit, tmp_path: Path
) -> None:
    assert status(publish(steps, visit), "done") == f"Published: {server.url}/ada/mouths"
    assert set(server.repos["ada/mouths"].files) >= {"README.md", "directions.safetensors", "preview.png"}
    assert status(publish(steps, visit, title="Lips"), "done").startswith("Updated: ")

    other = arrived(steps, seed=8)
    found = list(sharing._search(other, "mouth"))
    assert status(found, "done") == "One direction file found."
    ((label, choice),) = last(found, "found")
    assert label == "mouths (ada/mouths, stylegan2): directions.safetensors"

    shown = get(steps, tmp_path, other, choice)
    assert "fits" in status(shown, "done")
    assert last(shown, "usable") is True
    rows = dict(last(shown, "card")["rows"])
    assert (rows["Title"], rows["Author"], rows["License"]) == ("Lips", "ada", "cc-by-4.0")
    assert (rows["About"], rows["From"]) == ("Opens it.", "ada/mouths")
    before = other.directions
    assert before is not None
    assert other.directions is before, "not before the visitor says so"

    used = list(steps.use(other))
    assert status(used, "done") == "These are the 3 directions of the file."
    assert other.directions is not None
    assert visit.directions is not None
    assert other.directions.names == visit.directions.names[:3]
    assert len(last(used, "directions")["items"]) == 3


def test_names_that_visitors_gave_are_published(
    server: HubServer, steps: Steps, visit: Visit, tmp_path: Path
) -> None:
    publish(steps, visit, payload=payload(visit, kept=1, name_0=f"  smile {TRICKS} "), about=TRICKS)
    (name,) = stored(server, tmp_path).names
    assert name == f"smile {TRICKS}"
    card = server.repos["ada/mouths"].files["README.md"].decode()
    assert card.count(TRICKS) == card.count(f"`{TRICKS}") + card.count(f"smile {TRICKS}`") + card.count(
        f"```text\n{TRICKS}\n```"
    ), "outside of code"


def test_a_repository_by_its_name_alone(
    server: HubServer, steps: Steps, visit: Visit, tmp_path: Path
) -> None:
    publish(steps, visit)
    files = server.repos["ada/mouths"].files
    server.repos["bob/many"] = Repo(files={"a.safetensors": b"x", **files})
    server.repos["bob/none"] = Repo(files={"README.md": TAGGED})
    shown = get(steps, tmp_path, visit, " bob/many ")
    assert last(shown, "usable") is True
    assert visit.opened is not None
    shown = get(steps, tmp_path, visit, "bob/none")
    assert status(shown, "problem") == "bob/none holds no direction file"
    assert (last(shown, "card"), last(shown, "usable"), visit.opened) == (None, False, None)


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        (None, "choose a direction set"),
        ("  ", "choose a direction set"),
        (["ada/mouths"], "is no repository of the Hub"),
        ("../../etc/passwd", "is no repository of the Hub"),
        ("ada/mouths : ../x.safetensors", "is no direction file"),
        ("ada/mouths : /etc/passwd", "is no direction file"),
        (TRICKS, "is no repository of the Hub"),
        ("ada/nothing", "not found"),
        ("ada/mouths : other.safetensors", "not found"),
        ("x" * 100_000, "is no repository of the Hub"),
    ],
)
def test_choices_that_make_no_sense_get_plain_words(
    server: HubServer, steps: Steps, tmp_path: Path, choice: object, words: str
) -> None:
    server.repos["ada/mouths"] = Repo(files={"README.md": TAGGED})
    visit = Visit()
    text = status(get(steps, tmp_path, visit, choice), "problem")
    assert words in text
    assert len(text) < 300


def test_a_strangers_file_is_checked_before_anything_of_it_is_shown(
    server: HubServer, steps: Steps, visit: Visit, tmp_path: Path
) -> None:
    server.repos["bob/bad"] = Repo(files={"README.md": TAGGED, "bad.safetensors": b"\x80\x04garbage" * 99})
    shown = get(steps, tmp_path, visit, "bob/bad : bad.safetensors")
    assert "bob/bad/bad.safetensors" in status(shown, "problem")
    assert last(shown, "usable") is False


def test_a_set_for_another_generator_is_shown_and_not_offered(
    server: HubServer, steps: Steps, visit: Visit, tmp_path: Path
) -> None:
    file = tmp_path / "other.safetensors"
    assert visit.directions is not None
    wide = visit.directions.vectors.new_zeros(1, 7)
    wide[0, 0] = 1.0
    one = visit.directions[[0]]
    replace(one, vectors=wide, space="w", base_codes=None).save(file)
    server.repos["bob/other"] = Repo(files={"README.md": TAGGED, "directions.safetensors": file.read_bytes()})
    file.unlink()
    shown = get(steps, tmp_path, visit, "bob/other")
    assert "does not fit" in status(shown, "problem")
    assert dict(last(shown, "card")["rows"])["Fits"] == "no"
    assert (last(shown, "usable"), visit.opened) == (False, None)


def test_names_of_strangers_stay_text_and_few(server: HubServer, steps: Steps, visit: Visit) -> None:
    many = {f"{i:03}.safetensors": b"" for i in range(500)}
    tagged = TAGGED.replace(b"generator:stylegan2", b"generator:<b>\\u202e" + b"x" * 500)
    server.repos["bob/many"] = Repo(files={"README.md": tagged, TRICKS: b"", **many})
    server.repos["bob/<b>"] = Repo(files={"README.md": TAGGED, "a.safetensors": b""})
    found = last(list(sharing._search(visit, TRICKS[:0])), "found")
    assert 0 < len(found) <= 30
    assert all(choice.startswith("bob/many : ") and TRICKS not in label for label, choice in found)
    assert all(len(label) < 200 for label, _ in found)


def test_a_search_that_finds_nothing_says_so(server: HubServer, visit: Visit) -> None:
    found = list(sharing._search(visit, "no such thing" * 1000))
    assert (last(found, "found"), status(found, "done")) == ([], "No direction files found.")


def test_without_an_account_publishing_says_what_to_do(server: HubServer, steps: Steps, visit: Visit) -> None:
    assert "publishing needs an account" in status(publish(steps, visit, token=None), "problem")
    assert "the sign-in has expired" in status(publish(steps, visit, token="hf_old"), "problem")
    assert server.repos == {}


def test_before_there_are_directions_nothing_is_published(server: HubServer, steps: Steps) -> None:
    shown = list(sharing._publish(steps, Visit(), TOKEN, None, "x", "", "mit", "", False, "", ""))
    assert "reload" in status(shown, "problem") or "draw a box" in status(shown, "problem")
    assert server.seen == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": ""}, "no name for a repository"),
        ({"name": "../x"}, "publishes as ada"),
        ({"name": "bob/x"}, "publishes as ada"),
        ({"name": TRICKS}, "no name for a repository"),
        ({"name": {"a": 1}}, "no name for a repository"),
        ({"license": "mine"}, "not one of"),
        ({"base_model": "../x"}, "is no repository of the Hub"),
    ],
)
def test_what_cannot_be_published_is_refused_in_plain_words(
    server: HubServer, steps: Steps, visit: Visit, changes: dict[str, Any], words: str
) -> None:
    assert words in status(publish(steps, visit, **changes), "problem")
    assert server.repos == {}


def test_a_strangers_set_keeps_its_licence(
    server: HubServer, steps: Steps, visit: Visit, tmp_path: Path
) -> None:
    publish(steps, visit, license="cc-by-nc-4.0")
    get(steps, tmp_path, visit, "ada/mouths")
    list(steps.use(visit))
    shown = publish(steps, visit, name="mine", license="cc0-1.0")
    assert "choose cc-by-nc-4.0" in status(shown, "problem")
    assert set(server.repos) == {"ada/mouths"}
    status(publish(steps, visit, name="mine", license="cc-by-nc-4.0"), "done")
    assert stored(server, tmp_path, "ada/mine").license == "cc-by-nc-4.0"


def test_offline_the_page_says_so_and_nothing_more(
    server: HubServer,
    steps: Steps,
    visit: Visit,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING, logger="resefa.demo"):
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
        for shown in (list(sharing._search(visit, "")), publish(steps, visit)):
            assert "offline mode is on" in status(shown, "problem")
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
        for shown in (list(sharing._search(visit, "")), get(steps, tmp_path, visit, "ada/mouths")):
            assert "can't be reached" in status(shown, "problem")
    assert caplog.records == []


def test_a_hub_in_trouble_is_told_plainly(server: HubServer, visit: Visit) -> None:
    def broken(handler: Handler) -> bool:
        handler.answer(500, b"<h1>stack trace</h1>")
        return True

    server.intercept = broken
    text = status(list(sharing._search(visit, "")), "problem")
    assert "trouble of its own (500)" in text
    assert "stack" not in text


LOCAL = {"host": "127.0.0.1:7860"}


@pytest.mark.parametrize(
    ("client", "headers", "here"),
    [
        ("127.0.0.1", LOCAL, True),
        ("127.0.0.1", {**LOCAL, "Origin": "http://127.0.0.1:7860"}, True),
        ("::1", {"Host": "[::1]:7860"}, True),
        ("127.0.0.1", {"host": "localhost:7860", "origin": "http://localhost:7860"}, True),
        ("192.168.0.7", LOCAL, False),
        (None, LOCAL, False),
        ("127.0.0.1", {}, False),
        ("127.0.0.1", {**LOCAL, "X-Forwarded-For": "127.0.0.1"}, False),
        ("127.0.0.1", {**LOCAL, "forwarded": "for=127.0.0.1"}, False),
        ("127.0.0.1", {"host": "rebound.example:7860"}, False),
        ("127.0.0.1", {"host": "127.0.0.1.rebound.example"}, False),
        ("127.0.0.1", {**LOCAL, "origin": "https://evil.example"}, False),
        ("127.0.0.1", {**LOCAL, "origin": "http://127.0.0.1:3000"}, False),
        ("127.0.0.1", {**LOCAL, "origin": "null"}, False),
        ("127.0.0.1", {"host": "[::1"}, False),
    ],
)
def test_only_people_at_this_machine_use_its_account(
    monkeypatch: pytest.MonkeyPatch, client: str | None, headers: dict[str, str], here: bool
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    request: Any = SimpleNamespace(
        client=None if client is None else SimpleNamespace(host=client), headers=headers
    )
    assert sharing._token(request, None, on_space=False) == (TOKEN if here else None)
    assert sharing._token(request, None, on_space=True) is None, "a Space's own token is not its visitors'"
    signed_in: Any = SimpleNamespace(token="hf_bob")
    assert sharing._token(request, signed_in, on_space=True) == "hf_bob"


class Caller:
    """A page's session by plain HTTP, as anyone could send it."""

    def __init__(self, url: str, **headers: str) -> None:
        self.address = urlsplit(url).netloc
        self.headers = {"Content-Type": "application/json", **headers}
        with urllib.request.urlopen(f"{url}/config", timeout=30) as answer:
            self.config = json.load(answer)

    def send(self, method: str, path: str, body: object = None) -> str:
        with closing(http.client.HTTPConnection(self.address, timeout=60)) as connection:
            connection.request(method, path, None if body is None else json.dumps(body), self.headers)
            return connection.getresponse().read().decode()

    def take(self, function: int, data: list[Any]) -> str:
        body = {"fn_index": function, "data": data, "session_hash": "caller"}
        self.send("POST", "/gradio_api/queue/join", body)
        return self.send("GET", "/gradio_api/queue/data?session_hash=caller")

    def publish(self, name: str) -> str:
        """Come to the page, and press its button; what the server said last."""
        names = {part["id"]: part["props"].get("value") for part in self.config["components"]}
        events = self.config["dependencies"]
        (loaded, *_) = [
            event for event in events if [x[1] for x in event["targets"]] == ["load"] and event["outputs"]
        ]
        (pressed,) = [
            event for event in events if event["targets"] and names.get(event["targets"][0][0]) == "Publish"
        ]
        self.take(loaded["id"], [None] * len(loaded["inputs"]))
        values: list[Any] = [None] * len(pressed["inputs"])
        values[2:6] = [name, "", "cc0-1.0", ""]
        return self.take(pressed["id"], values)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, HubServer]]:
    """The demo, on a machine where ada has signed in; and the Hub that it knows."""
    with HubServer() as server:
        server.tokens = {TOKEN: "ada"}
        home = str(tmp_path_factory.mktemp("home"))
        with serving(HF_ENDPOINT=server.url, HF_TOKEN=TOKEN, HF_HOME=home, RESEFA_WARM="0") as url:
            yield url, server


@pytest.mark.parametrize(
    "headers",
    [{"X-Forwarded-For": "127.0.0.1"}, {"Host": "rebound.example"}, {"X-Forwarded-Host": "a.example"}],
)
def test_strangers_do_not_publish_with_the_account_of_the_machine(
    running: tuple[str, HubServer], headers: dict[str, str]
) -> None:
    url, server = running
    before = set(server.repos)
    assert "publishing needs an account" in Caller(url, **headers).publish("stolen")
    assert set(server.repos) == before


def test_people_at_the_machine_publish_with_its_account(running: tuple[str, HubServer]) -> None:
    url, server = running
    said = Caller(url).publish("by-http")
    assert f"Published: {server.url}/ada/by-http" in said
    assert TOKEN not in said
    assert "directions.safetensors" in server.repos["ada/by-http"].files


@pytest.mark.flaky(reruns=2)  # a browser on a busy machine
def test_in_a_browser_a_set_is_published_and_another_visitor_gets_it(
    running: tuple[str, HubServer],
) -> None:
    playwright = pytest.importorskip("playwright.sync_api")
    browsers = pytest.importorskip("demo_browser")
    if browsers.find_chromium() is None:
        pytest.skip("needs Chromium")
    url, server = running
    refused: list[str] = []
    with playwright.sync_playwright() as driver:
        browser = browsers.launch(driver)

        def visitor() -> Any:
            context = browser.new_context(**browsers.DESKTOP)
            browsers.keep_offline(context, refused)
            page = context.new_page()
            page.set_default_timeout(60_000)
            page.goto(url)
            page.wait_for_selector(browsers.READY)
            return page

        page = visitor()
        page.get_by_role("tab", name="Publish").click()
        page.get_by_label("Repository").fill("in-a-browser")
        page.get_by_role("button", name="Publish", exact=True).click()
        page.get_by_text(f"Published: {server.url}/ada/in-a-browser").wait_for()

        page = visitor()
        page.get_by_role("tab", name="Browse the Hub").click()
        page.get_by_label("Words").fill("browser")
        page.get_by_role("button", name="Search").click()
        page.get_by_text("One direction file found.").wait_for()
        page.get_by_role("button", name="Look at it").click()
        page.get_by_text("ada/in-a-browser", exact=True).wait_for()
        page.get_by_role("button", name="Use these directions").click()
        page.get_by_text("directions of the file.").wait_for()
        browser.close()
    assert refused == []
