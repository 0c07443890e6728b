"""Direction sets on the Hub, on the page: browse and get them, publish one's own."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import gradio as gr
from huggingface_hub import get_token

import resefa_core as resefa
from gradio_app import jobs
from gradio_app.steps import Steps
from gradio_app.steps.showing import strips_of
from gradio_app.updates import progress, said, told
from gradio_app.visit import Visit
from resefa_core import hub

if TYPE_CHECKING:
    from gradio_app.page import Parts

_FOUND = 30
_FILES_OF_EACH = 20
_LOOPBACK = ("127.0.0.1", "::1")
_SEPARATOR = " : "
_PUBLISHED = ("directions", "repository", "about", "hub_license", "base_model", "private", "title", "author")


@dataclass(frozen=True)
class Sharing:
    """The buttons of the two tabs."""

    search: gr.Button
    get: gr.Button
    publish: gr.Button
    on_space: bool

    def listen(self, parts: Parts, steps: Steps) -> None:
        """Wire the events."""
        parts.step(self.search.click, _search, "query")
        parts.step(parts["query"].submit, _search, "query")
        parts.step(self.get.click, partial(_get, steps), "found")
        self.publish.click(
            _publisher(parts, steps, self.on_space),
            **parts.inputs("visit", *_PUBLISHED),
            outputs=parts.shown,
            **parts.options(),
        )


def _publisher(parts: Parts, steps: Steps, on_space: bool) -> Callable[..., AsyncIterator[dict[Any, Any]]]:
    """The handler of the button. Gradio fills in the first two of its parameters by their types."""

    async def publish(
        request: gr.Request, account: gr.OAuthToken | None, visit: Visit | None, *values: object
    ) -> AsyncIterator[dict[Any, Any]]:
        token = _token(request, account, on_space)
        step = partial(_publish, steps)
        async for update in parts.taken(request, visit or Visit(), step, token, *values):
            yield parts.show(update)

    return publish


def _token(request: gr.Request, account: gr.OAuthToken | None, on_space: bool) -> str | None:
    """Whom to publish as: who signed in; or, for people at this machine, the account that it has stored."""
    if account is not None:
        return account.token
    return None if on_space or not _is_here(request) else get_token()


def _is_here(request: gr.Request) -> bool:
    """Whether a request comes from this machine: not through a proxy or a tunnel, and from a page that was
    opened under this machine's own name, which the pages of others can't take."""
    headers = {str(name).lower(): str(value) for name, value in dict(request.headers).items()}
    if any(name == "forwarded" or name.startswith("x-forwarded-") for name in headers):
        return False
    host = headers.get("host", "")
    try:
        name = urlsplit(f"//{host}").hostname
    except ValueError:
        return False
    return (
        request.client is not None
        and request.client.host in _LOOPBACK
        and name in (*_LOOPBACK, "localhost")
        and headers.get("origin") in (None, f"http://{host}")
    )


def add_sharing(parts: Parts, on_space: bool) -> Sharing:
    """Lay out the tabs."""
    with gr.Tab("Browse the Hub"):
        with gr.Row():
            parts["query"] = gr.Textbox("", label="Words", max_length=100, placeholder="mouth, ffhq, …")
            search = gr.Button("Search", min_width=120, scale=0, elem_id="search")
        parts["found"] = gr.Dropdown(
            [],
            label="Direction sets",
            info="Search first, or type author/name",
            allow_custom_value=True,
            interactive=True,
        )
        get = gr.Button("Look at it")
    with gr.Tab("Publish"):
        if on_space and _has_sign_in():
            gr.LoginButton()
            where = "Sign in; the set is published in a repository of your own account."
        elif on_space:
            where = "Nobody can sign in to this Space: its README has to say `hf_oauth: true`."
        else:
            where = "The set is published with the token of `hf auth login` on this machine."
        gr.Markdown(f"{where} The ticked directions go in, with title and author from the Save tab.")
        with gr.Row():
            parts["repository"] = gr.Textbox(
                "", label="Repository", max_length=96, placeholder="avatars-mouth"
            )
            parts["hub_license"] = gr.Dropdown(list(hub.LICENSES), value=hub.LICENSES[0], label="License")
            parts["base_model"] = gr.Textbox(
                "", label="Generator on the Hub", max_length=200, placeholder="author/name, if it is there"
            )
            parts["private"] = gr.Checkbox(False, label="Private")
        parts["about"] = gr.Textbox("", label="Description", lines=2, max_length=2000)
        publish = gr.Button("Publish", variant="primary")
    return Sharing(search, get, publish, on_space)


def _has_sign_in() -> bool:
    """Whether the Hub has set up this Space for signing in."""
    return os.environ.get("SYSTEM") == "spaces" and bool(os.environ.get("OAUTH_CLIENT_ID"))


@told
def _search(visit: Visit, query: object) -> Iterator[dict[str, Any]]:
    words = str(query or "")[:100]
    listings = yield from progress(jobs.run(lambda _: hub.search(words, _FOUND)), "Asking the Hub")
    choices = [
        (
            f"{entry.title or entry.repo_id} ({entry.repo_id}, {entry.architecture or 'any'}): {file}",
            f"{entry.repo_id}{_SEPARATOR}{file}",
        )
        for entry in listings
        for file in entry.files[:_FILES_OF_EACH]
    ]
    count = len(choices)
    found = "One direction file" if count == 1 else f"{count or 'No'} direction files"
    yield {"found": choices, "status": said(f"{found} found.")}


@told
def _get(steps: Steps, visit: Visit, choice: object) -> Iterator[dict[str, Any]]:
    visit.opened = None
    yield {"card": None, "usable": False}
    repository, _, file = str(choice or "").strip().partition(_SEPARATOR)
    if not repository:
        raise resefa.ParameterError("choose a direction set of the list, or type author/name")
    work = jobs.run(lambda _: hub.load(repository, file))
    directions = yield from progress(work, "Getting the file")
    yield from steps.look(visit, directions, repository)


@told
def _publish(
    steps: Steps,
    visit: Visit,
    token: str | None,
    payload: object,
    name: object,
    about: object,
    license: object,
    base_model: object,
    private: object,
    title: object,
    author: object,
) -> Iterator[dict[str, Any]]:
    if not token:
        raise resefa.ParameterError(
            "publishing needs an account: sign in on a Space; on your own machine, run `hf auth login` and "
            "open this page as 127.0.0.1"
        )
    chosen = steps.chosen(visit, payload, steps.picture(visit), title, author, "", about)
    strips = strips_of(visit.needed, chosen)

    def work(_: object) -> hub.Published:
        return hub.publish(
            chosen,
            str(name or ""),
            token,
            strips=strips,
            private=private is True,
            license=str(license),
            base_model=str(base_model or "").strip() or None,
        )

    published = yield from progress(jobs.run(work), "Publishing")
    verb = "Updated" if published.updated else "Published"
    yield {"status": said(f"{verb}: {published.url}")}
