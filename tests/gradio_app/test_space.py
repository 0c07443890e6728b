"""What goes to a Space: its files, its metadata, and that the demo starts from them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from serving import ROOT, Server, free_port, inherited, serving

import resefa_core as resefa

huggingface_hub = pytest.importorskip("huggingface_hub")
gradio_client = pytest.importorskip("gradio_client")
pytest.importorskip("gradio")

ASSEMBLE = ROOT / "space" / "assemble.py"
CHECK = ROOT / "space" / "check.py"
ASK = ROOT / "space" / "ask.py"


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("space") / "out"
    subprocess.run([sys.executable, str(ASSEMBLE), str(out)], check=True, stdout=subprocess.DEVNULL)
    return out


def run(script: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(script), *arguments], capture_output=True, text=True, check=False
    )


def files(folder: Path) -> set[str]:
    return {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}


def packages(folder: Path) -> set[str]:
    kept = {file for file in files(folder) if file.startswith(("gradio_app/", "resefa_core/"))}
    return {file for file in kept if "__pycache__" not in file}


def test_it_holds_the_demo_and_the_library_and_nothing_else(space: Path) -> None:
    assert packages(space) == packages(ROOT)
    assert files(space) - packages(space) == {"README.md", "requirements.txt", "LICENSE"}
    assert "resefa_core/bundled/avatars.safetensors" in files(space)
    copied = [file for file in space.rglob("*") if file.is_file() and file.parent != space]
    assert all(file.read_bytes() == (ROOT / file.relative_to(space)).read_bytes() for file in copied)


def test_a_folder_with_something_in_it_is_refused(space: Path) -> None:
    done = run(ASSEMBLE, str(space))
    assert (done.returncode, done.stdout) == (1, "")
    assert "not empty" in done.stderr
    assert "Traceback" not in done.stderr


def test_its_metadata_are_what_the_hub_asks_for(space: Path) -> None:
    metadata: dict[str, Any] = huggingface_hub.SpaceCard.load(space / "README.md").data.to_dict()
    assert metadata["sdk"] == "gradio"
    assert (space / metadata["app_file"]).is_file()
    tested = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    assert f"gradio=={metadata['sdk_version']}\n" in tested
    assert isinstance(metadata["python_version"], str), "a number would lose a zero at its end"
    assert metadata["hf_oauth"] is True
    assert metadata["hf_oauth_scopes"] == ["contribute-repos"]
    assert metadata["license"] == "apache-2.0"
    assert len(metadata["short_description"]) <= 60
    assert {"title", "emoji", "colorFrom", "colorTo", "tags"} <= set(metadata)


def test_its_requirements_are_those_of_the_project(space: Path) -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    lines = (space / "requirements.txt").read_text(encoding="utf-8").splitlines()
    assert all(f'"{line}"' in project for line in lines if line != "spaces")
    assert set((ROOT / "requirements.txt").read_text(encoding="utf-8").split()) <= set(lines)
    assert not any(line.startswith("gradio") for line in lines), "Spaces install it by sdk_version"


def test_comfyui_users_do_not_get_what_the_demo_needs() -> None:
    assert "gradio" not in (ROOT / "requirements.txt").read_text(encoding="utf-8")


def test_the_demo_starts_from_it_as_a_space_does(space: Path) -> None:
    with serving(space, SPACE_ID="ada/resefa", SYSTEM="spaces", RESEFA_WARM="0") as url:
        pictures = [face_of(url), run_the_example_of_the_docs(url)]
        asked = run(ASK, url)
    for picture in pictures:
        with Image.open(picture) as face:
            assert face.size == (64, 64)
    assert asked.returncode == 0, asked.stderr
    assert asked.stdout == "a picture of 64 x 64, 6 directions, an edit\n"


def test_the_demo_starts_from_it_on_other_systems(space: Path) -> None:
    with (
        serving(space, SPACE_ID="ada/resefa", SYSTEM="", RESEFA_WARM="0") as url,
        Image.open(face_of(url)) as face,
    ):
        assert face.size == (64, 64)


def face_of(url: str) -> str:
    """A face that a running demo draws; its page is there, too."""
    with urllib.request.urlopen(url, timeout=30) as answer:
        assert b"ReSeFa" in answer.read()
    return str(gradio_client.Client(url, verbose=False).predict(3, 0.7, api_name="/draw_face"))


def test_a_demo_that_does_not_answer_is_told() -> None:
    done = run(ASK, f"http://127.0.0.1:{free_port()}")
    assert (done.returncode, done.stdout) == (1, "")
    assert "does not answer as it should" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_check_with_a_python_that_is_not_there_fails(tmp_path: Path) -> None:
    done = run(CHECK, "--python", str(tmp_path / "python"))
    assert (done.returncode, done.stdout) == (1, "")
    assert "The Space does not run with" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif("SPACE_PYTHON" not in os.environ, reason="SPACE_PYTHON does not name an interpreter")
def test_it_runs_where_nothing_is_installed_but_what_it_declares() -> None:
    done = run(CHECK, "--python", os.environ["SPACE_PYTHON"])
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs processes that fork, as ZeroGPU has")
@pytest.mark.parametrize("fails", ["", "1"])
def test_on_zerogpu_images_are_analysed_where_a_gpu_is_lent(
    space: Path, avatars: resefa.Generator, fails: str
) -> None:
    zero = {
        "PYTHONPATH": str(ROOT / "tests" / "gradio_app" / "zero_gpu"),
        "SPACES_ZERO_GPU": "1",
        "SPACE_ID": "ada/resefa",
        "LENT_FAILS": fails,
        "RESEFA_WARM": "0",
    }
    spaces = ("w",) if fails else ("w", "w+")
    with Server(environment={**inherited(), **zero}, root=space) as server:
        client = gradio_client.Client(server.url, verbose=False)
        found = [
            client.predict(
                seed=13,
                region="box:mouth",
                layered=each == "w+",
                only_good=False,
                api_name="/find_directions",
            )[0]
            for each in spaces
        ]
        log = server.log.read_text(encoding="utf-8")
    latent = avatars.sample(13, 0.7)
    for file, lent_space in zip(found, spaces, strict=True):
        expected = resefa.factorize(
            resefa.compute_jacobian(avatars, latent, lent_space),
            resefa.Region.preset("mouth"),
            6,
            objective=resefa.SHAPE,
        )
        directions = resefa.Directions.load(file)
        torch.testing.assert_close(directions.eigenvalues, expected.eigenvalues, rtol=1e-3, atol=0.0)
        torch.testing.assert_close(directions.vectors[0], expected.vectors[0], rtol=0.0, atol=1e-3)
    lent = set(re.findall(r"lent for 15 s: process (\d+) of (\d+)", log))
    if fails:
        assert not lent
        assert "no GPU was lent, so the CPU is used: you have exceeded your GPU quota" in log
    else:
        assert len(lent) == 1, "one process is lent again and again"
        assert all(worker != main for worker, main in lent)
        assert "no GPU was lent" not in log
    assert "Traceback" not in log


def run_the_example_of_the_docs(url: str) -> str:
    page = (ROOT / "docs" / "demo.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"^    from gradio_client.*\n(?:\n|    .*\n)+", page, re.MULTILINE)
    assert "http://127.0.0.1:7860" in example
    names: dict[str, Any] = {}
    exec(textwrap.dedent(example).replace("http://127.0.0.1:7860", url), names)
    assert len(names["report"]["directions"]) == 6
    return str(names["picture"])
