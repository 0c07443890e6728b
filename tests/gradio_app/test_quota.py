"""What visitors may keep on the disk, and what is said where there is no room."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from serving import Server, inherited

import resefa_core as resefa
from gradio_app import quota as quotas
from gradio_app.files import without_paths
from gradio_app.quota import FULL, NoRoomError, Quota, is_full
from gradio_app.updates import told

httpx = pytest.importorskip("httpx")
CAN_MOUNT = (
    shutil.which("unshare") is not None
    and subprocess.run(
        ["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True, check=False
    ).returncode
    == 0
)


def test_each_address_has_its_share(tmp_path: Path) -> None:
    quota = Quota(tmp_path, each=1000, together=10_000, least_free=0)
    quota.charge("a", 600)
    quota.charge("b", 900)
    with pytest.raises(NoRoomError, match="your files"):
        quota.charge("a", 401)
    quota.charge("a", 400)


def test_all_together_have_a_bound_by_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "file").write_bytes(bytes(5000))
    quota = Quota(tmp_path, each=10_000, together=6000 + os.lstat(tmp_path / "made").st_size, least_free=0)
    quota.charge("a", 600)
    with pytest.raises(NoRoomError, match="as many files as it can"):
        quota.charge("b", 500)


def test_shares_come_back_with_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quota = Quota(tmp_path, each=1000, least_free=0)
    quota.charge("a", 1000)
    now = time.monotonic()
    monkeypatch.setattr(quotas.time, "monotonic", lambda: now + quotas.KEPT_SECONDS + 1)
    quota.charge("a", 1000)


def test_what_is_old_is_removed(tmp_path: Path) -> None:
    old, new = tmp_path / "tmp-upload-that-broke-off", tmp_path / "new"
    for file in (old, new):
        file.write_bytes(b"x")
    long_ago = time.time() - 2 * quotas.KEPT_SECONDS
    os.utime(old, (long_ago, long_ago))
    Quota(tmp_path, least_free=0).charge("a", 1)
    assert [file.name for file in tmp_path.iterdir()] == ["new"]


def test_a_disk_that_is_nearly_full_is_left_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR, "resefa.demo"), pytest.raises(NoRoomError, match="no room"):
        Quota(tmp_path, least_free=1 << 60).charge("a", 1)
    assert "the disk is full" in caplog.text


def raised(error: Exception, cause: Exception | None = None) -> Exception:
    try:
        raise error from cause
    except Exception as caught:
        return caught


@pytest.mark.parametrize(
    ("error", "full"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/srv/x"), True),
        (raised(resefa.DirectionFileError("x"), OSError(errno.EDQUOT, "quota")), True),
        (raised(resefa.DirectionFileError("x"), OSError(errno.EACCES, "no")), False),
        (ValueError("x"), False),
    ],
)
def test_a_full_disk_is_told_in_polite_words(
    error: Exception, full: bool, caplog: pytest.LogCaptureFixture
) -> None:
    @told
    def step() -> Iterator[dict[str, Any]]:
        raise error
        yield {}

    assert is_full(error) is full
    with caplog.at_level(logging.ERROR, "resefa.demo"):
        (shown,) = step()
    assert (shown["status"]["text"] == FULL) is full
    assert ("the disk is full" in caplog.text) is full


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("/srv/files/made-1/mouth.safetensors: no", "mouth.safetensors: no"),
        ("'/srv/files/x.pt' is odd", "'x.pt' is odd"),
        (r"C:\Users\ada\x.pt is odd", "x.pt is odd"),
        ("author/name: not found", "author/name: not found"),
        ("https://huggingface.co/author/name/x", "https://huggingface.co/author/name/x"),
        ("'../../x.safetensors' is no name", "'../../x.safetensors' is no name"),
    ],
)
def test_no_path_of_the_server_is_told(text: str, plain: str) -> None:
    assert without_paths(text) == plain


@pytest.mark.skipif(not CAN_MOUNT, reason="no small disk can be mounted here (unshare)")
def test_a_disk_that_fills_up(tmp_path: Path) -> None:
    """A real server on a real disk of a few megabytes."""
    disk = tmp_path / "disk"
    disk.mkdir()
    python = tmp_path / "python"
    python.write_text(
        f'#!/bin/sh\nexec unshare -rm sh -c \'mount -t tmpfs -o size=6m tmpfs {disk} && exec "$0" "$@"\' '
        f'{sys.executable} "$@"\n'
    )
    python.chmod(0o700)
    own = {
        "GRADIO_TEMP_DIR": str(disk),
        "HF_HUB_OFFLINE": "1",
        "RESEFA_LEAST_FREE_MB": "0",
        "RESEFA_WARM": "0",
    }
    with Server(environment={**inherited(), **own}, python=python) as server:
        answers = [
            httpx.post(f"{server.url}/gradio_api/upload", files={"files": ("x.safetensors", bytes(4 << 20))})
            for _ in range(3)
        ]
        log = server.log.read_text()
    told = [(answer.status_code, answer.text) for answer in answers if answer.status_code != 200]
    assert told == [(507, f"{FULL}.")] * len(told)
    assert len(told) >= 2
    assert "the disk is full" in log
    assert "Traceback" not in log
