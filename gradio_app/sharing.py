"""Direction sets on the Hub, on the page: browse and get them, publish one's own."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
from huggingface_hub import get_token

import resefa_core as resefa
from gradio_app import hub, jobs
from gradio_app.visit import Steps, Visit, progress, said, told

if TYPE_CHECKING:
    from gradio_app.page import Parts

_FOUND = 30
_HUB_LANE = "hub"
_SEPARATOR = " : "
_PUBLISHED = ("directions", "repository", "about", "hub_license", "base_model", "private", "title", "author")


@dataclass(frozen=True)
class Sharing:
    """The buttons of the two tabs."""

    search: gr.Button
    get: gr.Button
    publish: gr.Button
    on_space: bool

    def listen(self, parts: Parts, steps: Steps, folder: Path) -> None:
        """Wire the events."""

        def get(visit: Visit, choice: object) -> Iterator[dict[str, Any]]:
            yield from _get(steps, folder, visit, choice)

        parts.step(self.search.click, _search, "query", lane=_HUB_LANE)
        parts.step(parts["query"].submit, _search, "query", lane=_HUB_LANE)
        parts.step(self.get.click, get, "found", lane=_HUB_LANE)
        self.publish.click(
            _publisher(parts, steps, self.on_space),
            inputs=[parts["visit"], *(parts[name] for name in _PUBLISHED)],
            outputs=list(parts.values()),
            **parts.options(_HUB_LANE),
        )


def _publisher(parts: Parts, steps: Steps, on_space: bool) -> Callable[..., Iterator[dict[Any, Any]]]:
    """The handler of the button. Only people at this machine publish with the token that it has stored."""

    def publish(
        visit: Visit | None, token: str | None, values: tuple[object, ...]
    ) -> Iterator[dict[Any, Any]]:
        for update in _publish(steps, visit or Visit(), token, *values):
            yield parts.show(update)

    def signed_in(
        visit: Visit | None,
        payload: object,
        name: object,
        about: object,
        license: object,
        base_model: object,
        private: object,
        title: object,
        author: object,
        token: gr.OAuthToken | None,
    ) -> Iterator[dict[Any, Any]]:
        values = (payload, name, about, license, base_model, private, title, author)
        yield from publish(visit, token.token if token else None, values)

    def here(
        visit: Visit | None,
        payload: object,
        name: object,
        about: object,
        license: object,
        base_model: object,
        private: object,
        title: object,
        author: object,
        request: gr.Request,
    ) -> Iterator[dict[Any, Any]]:
        values = (payload, name, about, license, base_model, private, title, author)
        local = request.client is not None and request.client.host in ("127.0.0.1", "::1")
        yield from publish(visit, get_token() if local else None, values)

    return signed_in if on_space else here


def add_sharing(parts: Parts, on_space: bool) -> Sharing:
    """Lay out the tabs."""
    with gr.Tab("Browse the Hub"):
        with gr.Row():
            parts["query"] = gr.Textbox("", label="Search", max_length=100, placeholder="mouth, ffhq, …")
            search = gr.Button("Search", min_width=100)
        parts["found"] = gr.Dropdown(
            [], label="Direction sets", info="Or type author/name", allow_custom_value=True, interactive=True
        )
        get = gr.Button("Look into it")
    with gr.Tab("Publish"):
        if on_space:
            gr.LoginButton()
            where = "Sign in; the set is published in a repository of your own account."
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
        for file in entry.files
    ]
    yield {
        "found": choices,
        "status": said(f"{len(choices)} direction files found." if choices else "Nothing found."),
    }


def _get(steps: Steps, folder: Path, visit: Visit, choice: object) -> Iterator[dict[str, Any]]:
    @told
    def get(visit: Visit) -> Iterator[dict[str, Any]]:
        repository, _, file = str(choice or "").partition(_SEPARATOR)
        repository = repository.strip()
        if not repository:
            raise resefa.ParameterError("choose a direction set of the list, or type author/name")

        def download(_: object) -> resefa.Directions:
            name = file
            if not name:
                files = hub.direction_files(repository)
                if not files:
                    raise resefa.ParameterError(f"{repository[:100]} holds no direction file")
                name = files[0]
            with tempfile.TemporaryDirectory(dir=folder) as inside:
                return resefa.Directions.load(hub.fetch(repository, name, Path(inside)))

        directions = yield from progress(jobs.run(download), "Getting the file")
        yield from steps.look(visit, directions, repository)

    yield from get(visit)


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
        raise resefa.ParameterError("publishing needs an account: sign in, or run `hf auth login` here")
    chosen = steps.chosen(visit, payload, title, author, license, about)
    strips = steps.preview(visit, chosen)

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
