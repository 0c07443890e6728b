"""Atlases: what is in them, their files, what people see of them."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

import resefa_core as resefa
from resefa_core.atlas import QUANTILES, Atlas, Plan, build_atlas, sum_up
from resefa_core.atlas.groups import groups_of
from resefa_core.atlas.measuring import Measured, ToMeasure, measure, voted
from resefa_core.atlas.pages import atlas_page, atlas_sheet
from resefa_core.cli import main
from resefa_core.errors import AtlasError
from resefa_core.files import read_tensors, write_tensors
from resefa_core.kinds import Kind, kind_of_file
from resefa_core.solve.sums import Sums
from tests.models import tiny_stylegan2

BOXES = ("0.2,0.2,0.5,0.4", "0.5,0.5,0.5,0.5")
SEEDS = range(100, 112)
COUNT, MEASURED = 3, 5


def parted(generator: resefa.Generator) -> resefa.Parts:
    """Parts that are called as parts of faces are."""
    found = resefa.find_parts_of(generator, range(4), 3)
    return found.named(["mouth", "hair & hat", "rest"])


@pytest.fixture(scope="module")
def generator() -> resefa.Generator:
    return tiny_stylegan2(16)


@pytest.fixture(scope="module")
def plan(generator: resefa.Generator) -> Plan:
    return Plan.of(generator, SEEDS, ["mouth", "hair & hat", BOXES[0]], parts=parted(generator))


@pytest.fixture(scope="module")
def atlas(generator: resefa.Generator, plan: Plan) -> Atlas:
    return build_atlas(generator, plan, count=COUNT, measured=MEASURED)


def test_an_atlas_says_what_can_be_done_where_and_on_how_many_images(
    generator: resefa.Generator, plan: Plan, atlas: Atlas
) -> None:
    assert [entry.name for entry in atlas.entries] == ["mouth", "hair & hat", BOXES[0]]
    assert (atlas.images, atlas.collapsed, atlas.seeds, atlas.space) == (12, 0, "100-111", "w")
    total = sum_up(generator, plan).total
    for index, entry in enumerate(atlas.entries):
        assert entry.images == int(total.images[index]) > 0
        assert 0.0 < entry.area < 1.0
        assert 0 < entry.measured <= MEASURED
        assert set(entry.examples) <= set(SEEDS)
        assert entry.joint is not None
        directions, solved = entry.joint.directions, total.pencil(index).solve(COUNT, 1e-4)
        torch.testing.assert_close(directions.vectors, solved.vectors.float(), rtol=0, atol=0)
        assert len(set(directions.names)) == COUNT
        assert directions.num_samples == entry.images
        assert entry.joint.quantiles.shape == (COUNT, len(QUANTILES))
        assert bool((entry.joint.quantiles.diff(dim=1) >= 0.0).all())
        assert bool(((entry.joint.responding >= 0.0) & (entry.joint.responding <= 1.0)).all())
    mouth = atlas["mouth"].joint
    assert mouth is not None
    assert mouth.directions.region is not None
    assert mouth.directions.region.follows
    with pytest.raises(AtlasError, match="no region 'nose'"):
        atlas["nose"]


def test_how_local_directions_are_is_what_edits_change(
    generator: resefa.Generator, plan: Plan, atlas: Atlas
) -> None:
    from resefa_core.evaluation.equal_change import edits_of, equal_change
    from resefa_core.latents.reach import steps_within_reach

    entry = atlas[BOXES[0]]
    assert entry.joint is not None
    directions = entry.joint.directions
    assert directions.region is not None
    latent = generator.sample([SEEDS[place] for place in (0, 8, 4, 2, 10)], 0.7)
    changed = equal_change(generator, edits_of(latent, directions), directions.region)
    limits = torch.tensor(steps_within_reach(generator, directions)) * directions.steps
    within = changed.distance.reshape(MEASURED, COUNT, 2) <= limits[:, None]
    assert entry.joint.responding.tolist() == pytest.approx(within.any(dim=2).double().mean(dim=0).tolist())
    ratios = torch.where(within, changed.ratio.reshape(MEASURED, COUNT, 2), torch.nan)
    median = ratios.movedim(1, 0).flatten(1).nanquantile(0.5, dim=1).nan_to_num()
    torch.testing.assert_close(entry.joint.quantiles[:, 2], median, rtol=0.02, atol=0)


def test_the_same_images_make_the_same_file(
    generator: resefa.Generator, plan: Plan, atlas: Atlas, tmp_path: Path
) -> None:
    one, two = tmp_path / "one.safetensors", tmp_path / "two.safetensors"
    atlas.save(one)
    build_atlas(generator, plan, count=COUNT, measured=MEASURED, block=2).save(two)
    assert one.read_bytes() == two.read_bytes()
    assert kind_of_file(one) == Kind.ATLAS
    with pytest.raises(resefa.DirectionFileError, match="resefa atlas export"):
        resefa.Directions.load(one)
    with pytest.raises(AtlasError, match="exists"):
        atlas.save(one)


KILLED = """
import os, signal, sys
from pathlib import Path
from resefa_core.atlas import Plan, atlas, build_atlas
from tests.atlas.test_atlas import BOXES, COUNT, MEASURED, SEEDS, parted
from tests.models import tiny_stylegan2

def report(done, total):
    if done >= 1600:
        os.kill(os.getpid(), signal.SIGKILL)

atlas.KEPT_EVERY = 0.0
generator = tiny_stylegan2(16)
plan = Plan.of(generator, SEEDS, ["mouth", "hair & hat", BOXES[0]], parts=parted(generator))
build_atlas(
    generator, plan, sums=Path(sys.argv[1]), count=COUNT, measured=MEASURED, progress=report
)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no such signal")
def test_measuring_that_was_killed_goes_on_to_the_same_file(
    generator: resefa.Generator, plan: Plan, atlas: Atlas, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sums, script = tmp_path / "atlas.sums.safetensors", tmp_path / "killed.py"
    script.write_text(KILLED, encoding="utf-8")
    root = str(Path(resefa.__file__).parents[1])
    killed = subprocess.run([sys.executable, script, sums], env={**os.environ, "PYTHONPATH": root})
    assert killed.returncode == -signal.SIGKILL
    kept = tmp_path / "atlas.sums.measured.json"
    known = {name: set(each["images"]) for name, each in json.loads(kept.read_text())["regions"].items()}
    assert 0 < len(known[BOXES[0]]) < MEASURED
    tasks: list[tuple[int, tuple[str, ...]]] = []

    def seen(shared: ToMeasure, task: tuple[int, tuple[str, ...]]) -> dict[str, Measured]:
        tasks.append(task)
        return measure(shared, task)

    monkeypatch.setattr("resefa_core.atlas.atlas.measure", seen)
    again = build_atlas(generator, plan, sums=sums, count=COUNT, measured=MEASURED)
    assert 0 < len(tasks) < MEASURED
    assert not any(str(place) in known[name] for place, names in tasks for name in names)
    files = [tmp_path / "whole.safetensors", tmp_path / "again.safetensors"]
    for each, file in zip((atlas, again), files, strict=True):
        each.save(file)
    assert files[0].read_bytes() == files[1].read_bytes()
    tasks.clear()
    build_atlas(generator, plan, sums=sums, count=COUNT, measured=MEASURED)
    assert tasks == []
    build_atlas(generator, plan, sums=sums, count=COUNT - 1, measured=1)
    assert len(tasks) > 0
    for damaged in (
        "",
        "{}",
        kept.read_text()[:-9],
        kept.read_text().replace('"inside": [', '"inside": [1e999, '),
    ):
        kept.write_text(damaged)
        with pytest.raises(AtlasError, match=r"measured\.json.*delete it"):
            build_atlas(generator, plan, sums=sums, count=COUNT - 1, measured=1)


def test_directions_are_chosen_by_region_and_kind(atlas: Atlas) -> None:
    joint = atlas["hair & hat"].joint
    assert joint is not None
    assert atlas.directions("hair & hat") is joint.directions
    first = atlas.entries[0].joint
    assert first is not None
    assert atlas.directions() is first.directions
    with pytest.raises(AtlasError, match="no region 'nose': expected one of mouth"):
        atlas.directions("nose")
    bare = replace(atlas, entries=tuple(replace(entry, missed=None) for entry in atlas.entries))
    with pytest.raises(AtlasError, match="some images have besides of mouth: expected another kind"):
        bare.directions("mouth", missed=True)
    some = replace(bare, entries=(*bare.entries[:2], replace(bare.entries[2], missed=first)))
    assert some.directions(missed=True) is first.directions
    with pytest.raises(AtlasError, match=f"expected one of {re.escape(BOXES[0])}"):
        some.directions("mouth", missed=True)


def test_a_file_gives_the_atlas_back(atlas: Atlas, tmp_path: Path) -> None:
    file = tmp_path / "atlas.safetensors"
    atlas.save(file)
    found = Atlas.load(file)
    for name in ("seeds", "images", "collapsed", "truncation", "label", "space", "layers"):
        assert getattr(found, name) == getattr(atlas, name)
    assert dict(found.generator) == dict(atlas.generator)
    for mine, theirs in zip(found.entries, atlas.entries, strict=True):
        for name in ("name", "images", "area", "measured", "examples", "missed_share"):
            assert getattr(mine, name) == getattr(theirs, name)
        for key in ("joint", "missed"):
            one, other = getattr(mine, key), getattr(theirs, key)
            assert (one is None) == (other is None)
            if one is not None:
                for tensor in ("quantiles", "responding", "shares"):
                    assert torch.equal(getattr(one, tensor), getattr(other, tensor))
                assert torch.equal(one.directions.vectors, other.directions.vectors)
                assert one.directions.names == other.directions.names


def forged(change: Any, told: dict[str, Any], tensors: dict[str, torch.Tensor]) -> None:
    entry = told["entries"][0]
    if change == "tensors":
        tensors["9.joint"] = tensors["0.joint"].clone()
    elif change == "bytes":
        tensors["0.joint"] = tensors["0.joint"][:-9].clone()
    elif change == "type":
        tensors["0.joint"] = tensors["0.joint"].float()
    elif change == "space":
        told["space"] = "z"
    elif change == "generator":
        told["generator"]["fingerprint"] = "0" * 64
    elif change in ("name", "examples", "area", "images"):
        entry[change] = {"name": "a\x1b[2J", "examples": [1] * 99, "area": 2.0, "images": 10**9}[change]
    elif change in ("quantiles", "responding"):
        entry["joint"][change] = [[float("nan")]] if change == "quantiles" else [2.0] * COUNT
    elif change == "entries":
        told["entries"] = told["entries"] * 50
    elif change == "seeds":
        told["seeds"] = ["1"]


@pytest.mark.parametrize(
    "change",
    [
        "tensors",
        "bytes",
        "type",
        "space",
        "generator",
        "name",
        "examples",
        "area",
        "images",
        "quantiles",
        "responding",
        "entries",
        "seeds",
    ],
)
def test_forged_files_are_refused(atlas: Atlas, tmp_path: Path, change: str) -> None:
    file = tmp_path / "atlas.safetensors"
    atlas.save(file)
    tensors, metadata = read_tensors(file, AtlasError, 1 << 26)
    told = json.loads(metadata["resefa.atlas"])
    forged(change, told, tensors)
    write_tensors(file, tensors, {**metadata, "resefa.atlas": json.dumps(told)}, AtlasError, overwrite=True)
    with pytest.raises(AtlasError, match=re.escape(str(file))):
        Atlas.load(file)


def test_groups_are_what_joint_directions_miss() -> None:
    size = 6
    sums = Sums.none(1, size)
    sums.total[0] = torch.eye(size, dtype=torch.float64) / size
    sums.inside[0] = torch.diag(torch.tensor([0.1, 0.08, 0.01, 0.01, 0.01, 0.01], dtype=torch.float64))
    sums.images[0] = 10
    sums.weights[0] = 10.0
    axes = torch.eye(size)
    joint = axes[:2].double()
    noise = torch.Generator().manual_seed(0)
    own = {}
    for place in range(10):
        third = axes[4] if place % 2 else axes[3]
        rows = torch.stack([axes[0], third if place < 8 else axes[1]])
        own[place] = rows * (1.0 if place % 3 else -1.0) + 0.05 * torch.randn(2, size, generator=noise)
    groups = groups_of(sums.pencil(0, resefa.PAPER), 1e-3, joint, own)
    assert [set(each) for each in groups.places] == [{0, 2, 4, 6}, {1, 3, 5, 7}]
    assert (groups.vectors @ axes[3:5].T.double()).abs().diagonal().tolist() == pytest.approx(
        [1.0, 1.0], abs=0.01
    )
    assert groups.missed == pytest.approx(8 / 20)
    nothing = groups_of(sums.pencil(0, resefa.PAPER), 1e-3, joint, {0: torch.zeros(2, size)})
    assert (len(nothing.vectors), nothing.places, nothing.missed) == (0, (), 0.0)


def test_a_name_is_what_most_images_say() -> None:
    told = [
        ("opens / closes", "redder / greener"),
        ("wider / narrower", "opens / closes"),
        ("opens / closes",),
    ]
    assert voted(told) == ("opens / closes", "wider / narrower", "redder / greener")


def test_a_page_has_all_that_it_shows_and_escapes_names(generator: resefa.Generator, atlas: Atlas) -> None:
    evil = replace(atlas.entries[0], name='<script>alert("x")</script>')
    page = atlas_page(atlas, [evil, *atlas.entries[1:]], generator)
    assert "<script" not in page
    assert "hair &amp; hat" in page
    assert not re.findall(r'(?:src|href)="(?!data:image/jpeg;base64,|#region-)', page)
    pictures = re.findall(r'base64,([^"]+)"', page)
    shown = sum(len(found) for entry in atlas.entries for found in (entry.joint, entry.missed) if found)
    assert len(pictures) == shown
    picture = Image.open(io.BytesIO(base64.b64decode(pictures[0])))
    assert picture.width > 3 * picture.height


def test_a_sheet_shows_the_first_directions(generator: resefa.Generator, atlas: Atlas) -> None:
    one, two = (atlas_sheet(atlas, atlas.entries[:count], generator, most=2) for count in (1, 2))
    assert two.height > one.height > 2 * 96
    with pytest.raises(AtlasError, match="other weights"):
        atlas_sheet(atlas, atlas.entries, tiny_stylegan2(16, seed=1))


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def test_the_command_builds_shows_and_exports(
    generator: resefa.Generator, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights, file = tmp_path / "tiny.safetensors", tmp_path / "atlas.safetensors"
    generator.save(weights)
    build = ("atlas", "build", "-g", weights, "--regions", *BOXES, "--measured", "2", "-k", "2", "-o", file)
    assert run(*build, "--seeds", "0-5") == 0
    assert (tmp_path / "atlas.sums.safetensors").is_file()
    assert run(*build, "--seeds", "0-5") == 1
    assert "exists" in capsys.readouterr().err
    before = file.read_bytes()
    assert run(*build, "--seeds", "0-5", "--force") == 0
    assert file.read_bytes() == before
    assert run(*build, "--seeds", "0-6", "--force") == 1
    assert "sums of other images" in capsys.readouterr().err
    assert file.read_bytes() == before
    assert run("info", file) == 0
    assert "atlas" in capsys.readouterr().out
    assert run("info", tmp_path / "atlas.sums.safetensors") == 0
    sheet, page, folder = tmp_path / "sheet.png", tmp_path / "page.html", tmp_path / "directions"
    for output in (sheet, page):
        assert run("atlas", "show", file, "-g", weights, "-o", output) == 0
    assert Image.open(sheet).width > 2 * 3 * 96
    assert "6 images of tiny" in capsys.readouterr().out
    assert run("atlas", "export", file, "-o", folder, "--regions", BOXES[1]) == 0
    (exported,) = folder.iterdir()
    directions = resefa.Directions.load(exported)
    assert (len(directions), directions.num_samples, directions.matches(generator)) == (2, 6, True)
    assert run("sweep", exported, "-g", weights, "-o", tmp_path / "strips.png") == 0
    assert run("atlas", "show", file, "--regions", "nose") == 1
    assert run("atlas", "show", exported) == 1
    assert "not an atlas" in capsys.readouterr().err
