from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import safetensors.torch
import torch
from dcgan import DATA
from models import tiny_stylegan2
from PIL import Image

import resefa_core as resefa
from resefa_core.cli import main

ROOT = Path(__file__).resolve().parents[1]
BUNDLED = ROOT / "resefa_core" / "bundled" / "avatars.safetensors"
FACTORIZE = ["factorize", "--region", "mouth", "-o", "x.safetensors"]


def run(*arguments: str | Path) -> int:
    return main([str(argument) for argument in arguments])


def test_faces_are_drawn_alone_or_on_a_sheet(tmp_path: Path, avatars: resefa.Generator) -> None:
    assert run("generate", "--seeds", "3", "-o", tmp_path / "one.png") == 0
    assert Image.open(tmp_path / "one.png").size == (avatars.resolution, avatars.resolution)
    latents = tmp_path / "two.safetensors"
    assert run("generate", "--seeds", "1,4-5", "-o", tmp_path / "sheet.png", "--save-latent", latents) == 0
    assert Image.open(tmp_path / "sheet.png").width > 3 * 128
    assert resefa.Latent.load(latents).seed == (1, 4, 5)


def test_directions_are_found_shown_applied_and_told_about(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, sheet = tmp_path / "mouth.safetensors", tmp_path / "mouth.png"
    found = run(
        "factorize",
        "--seed",
        "2",
        "--region",
        "box:mouth",
        "--space",
        "w",
        "-k",
        "3",
        "--all",
        "-o",
        file,
        "--sheet",
        sheet,
    )
    assert found == 0
    assert "mouth 0" in capsys.readouterr().out
    directions = resefa.Directions.load(file)
    assert (len(directions), directions.space, directions.seeds) == (3, "w", (2,))
    assert directions.steps_confined is not None
    assert directions.thumbnail is not None
    assert Image.open(sheet).height > 3 * 128

    strips = tmp_path / "strips.png"
    assert (
        run("sweep", file, "--seed", "5", "--directions", "0,mouth 2", "--strengths=-3,3", "-o", strips) == 0
    )
    edited, latent = tmp_path / "edited.png", tmp_path / "edited.safetensors"
    moves = ("--move", "0=3", "--move", "mouth 1=-2")
    assert run("edit", file, "--seed", "5", *moves, "--confine", "-o", edited, "--save-latent", latent) == 0
    assert run("edit", file, "--latent", latent, "--move", "0=0", "-o", tmp_path / "again.png") == 0
    assert Image.open(edited).tobytes() == Image.open(tmp_path / "again.png").tobytes()

    capsys.readouterr()
    assert run("info", file, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["kind"], told["space"], told["names"][0]) == ("directions", "w", "mouth 0")
    assert run("info", latent) == 0
    assert "confined moves" in capsys.readouterr().out


def test_several_samples_a_box_and_a_mask_can_be_given(tmp_path: Path) -> None:
    mask = Image.new("L", (32, 32))
    mask.paste(255, (8, 16, 24, 28))
    mask.save(tmp_path / "mask.png")
    for name, region in (("box", "0.3,0.5,0.4,0.3"), ("mask", str(tmp_path / "mask.png"))):
        output = tmp_path / f"{name}.safetensors"
        small = ("--space", "w", "--layers", "2-4", "-k", "2", "--samples", "2")
        assert run("factorize", "--region", region, *small, "-o", output) == 0
        assert resefa.Directions.load(output).num_samples == 2


def test_an_analysis_can_be_kept_for_the_next_region(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = tmp_path / "analysis.safetensors"
    for name in ("mouth", "eyes"):
        common = ("--seed", "2", "--space", "w", "-k", "1", "--jacobian", kept)
        output = tmp_path / f"{name}.safetensors"
        assert run("factorize", "--region", f"box:{name}", *common, "-o", output) == 0
    capsys.readouterr()
    common = ("--seed", "3", "--space", "w", "--jacobian", kept)
    assert run("factorize", "--region", "box:eyes", *common, "-o", tmp_path / "other.safetensors") == 1
    assert "another latent" in capsys.readouterr().err
    assert run("info", kept) == 0
    assert "dense Jacobian" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("method", "more", "space"),
    [
        ("paper", ["--regularization", "0.01", "--analysis", "dense"], "w"),
        ("published", ["--layers", "4-7"], "w"),
        ("published-large", [], "w"),
        ("sefa", ["--parameter", "candidates=0", "--samples", "2"], "w"),
        ("ganspace", ["--parameter", "num_samples=200", "--parameter", "candidates=4"], "w"),
        (
            "lowrankgan",
            ["--parameter", "relaxation=1", "--parameter", "lambda=0.4", "--parameter", "max_iterations=50"],
            "w",
        ),
        ("stylespace", ["--parameter", "num_samples=1", "--parameter", "candidates=16"], "s"),
    ],
)
def test_other_methods_can_be_chosen(
    method: str, more: list[str], space: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mouth.safetensors"
    common = ("--seed", "2", "--region", "mouth", "-k", "2")
    assert run("factorize", *common, "--method", method, *more, "-o", file) == 0
    directions = resefa.Directions.load(file)
    assert (directions.method, directions.space, len(directions)) == (method, space, 2)
    assert directions.regularization == (0.01 if method == "paper" else 0.0)
    assert directions.num_samples == (2 if method == "sefa" else 1)
    assert directions.steps_confined is not None
    title = resefa.METHODS[method].title
    assert directions.title == f"mouth of avatars, {title}"
    capsys.readouterr()
    assert run("info", file, "--json") == 0
    assert json.loads(capsys.readouterr().out)["method"] == title


def test_directions_for_confined_edits_are_found_in_a_soft_region_and_stay_confined(tmp_path: Path) -> None:
    small = ("factorize", "--seed", "2", "--region", "box:mouth", "--space", "w", "-k", "1")
    asked = {
        "short": ("--confine",),
        "long": ("--method", "resefa-confined"),
        "both": ("--confine", "--method", "resefa-confined", "--feather", "0.1"),
        "sharp": ("--confine", "--feather", "0"),
    }
    files = {name: tmp_path / f"{name}.safetensors" for name in asked}
    for name, more in asked.items():
        assert run(*small, *more, "-o", files[name], "--sheet", tmp_path / f"{name}.png") == 0
    sets = {name: resefa.Directions.load(file) for name, file in files.items()}
    assert {each.method for each in sets.values()} == {"resefa-confined"}
    assert sets["short"].title == "mouth of avatars, ReSeFa for confined edits"
    assert torch.equal(sets["short"].vectors, sets["long"].vectors)
    mouth = resefa.Region.preset("avatars/mouth")
    for name, feather in (("short", 0.03), ("both", 0.1), ("sharp", 0.0)):
        kept = sets[name].region
        assert kept is not None
        torch.testing.assert_close(
            kept.mask(64, 64), mouth.feather(feather).mask(64, 64), atol=0.01, rtol=0.0
        )

    pictures = {}
    for name, more in (("as found", ()), ("told", ("--confine",)), ("everywhere", ("--confine", "0"))):
        file = tmp_path / f"{name}.png"
        assert run("edit", files["sharp"], "--seed", "2", "--move", "0=4", *more, "-o", file) == 0
        pictures[name] = Image.open(file).tobytes()
        strips = tmp_path / f"strips {name}.png"
        assert run("sweep", files["sharp"], "--seed", "2", "--strengths", "4", *more, "-o", strips) == 0
        pictures[f"strips {name}"] = Image.open(strips).tobytes()
    for what in ("", "strips "):
        assert pictures[f"{what}as found"] == pictures[f"{what}told"] != pictures[f"{what}everywhere"]


def test_what_confined_directions_can_not_be_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for more, said in (
        (("--method", "resefa"), "--confine is short for --method resefa-confined"),
        (("--method", "sefa"), "can't be combined with --method sefa"),
        (("--analysis", "dense"), "--jacobian and --analysis are for methods"),
        (("-o", tmp_path / "x.npy"), "keeps no region"),
    ):
        assert (
            run("factorize", "--region", "mouth", "--confine", "-o", tmp_path / "x.safetensors", *more) == 1
        )
        assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_an_analysis_is_kept_for_every_method_that_takes_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = tmp_path / "analysis.safetensors"
    common = ("--seed", "2", "--region", "mouth", "--space", "w", "-k", "1", "--jacobian", kept)
    for index, method in enumerate(("paper", "lowrankgan", "resefa")):
        output = tmp_path / f"{method}.safetensors"
        quickly = ("--parameter", "max_iterations=50") if method == "lowrankgan" else ()
        assert run("factorize", *common, "--method", method, *quickly, "-o", output) == 0
        assert (f"wrote {kept}" in capsys.readouterr().out) == (index == 0)


def test_published_directions_convert_and_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    published = DATA / "official_directions" / "stylegan2_ffhq_lipstick.npy"
    if not published.is_file():
        pytest.skip("the published directions are not there")
    ours, back = tmp_path / "lipstick.safetensors", tmp_path / "lipstick.npy"
    assert run("convert", published, ours) == 0
    assert run("convert", ours, back) == 0
    assert run("info", published) == 0
    assert "8, 9, 10, 11" in capsys.readouterr().out
    assert run("sweep", ours, "-o", tmp_path / "strips.png") == 1
    message = capsys.readouterr().err
    assert "stylegan2" in message
    assert "avatars" in message


def test_the_bundled_generator_that_a_file_is_of_is_taken_unless_another_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures = [tmp_path / f"{name}.png" for name in ("unnamed", "named")]
    move = ("--seed", "5", "--move", "0=2")
    assert run("edit", "cats-mouth", *move, "-o", pictures[0]) == 0
    assert run("edit", "cats-mouth", *move, "-g", "cats", "-o", pictures[1]) == 0
    assert pictures[0].read_bytes() == pictures[1].read_bytes()
    assert run("edit", "cats-mouth", *move, "-g", "avatars", "-o", tmp_path / "other.png") == 1
    assert "made for stylegan2 cats" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["generate", "--generator", "nobody", "-o", "x.png"], "bundled: avatars"),
        (["generate", "--seeds", "99999999999", "-o", "x.png"], None),
        (["generate", "--truncation", "9", "-o", "x.png"], "truncation 9"),
        (["generate", "--device", "abacus", "-o", "x.png"], "abacus"),
        (["factorize", "--region", "tail", "-o", "x.safetensors"], "mouth"),
        (["factorize", "--region", "0.9,0.9,0.5,0.5", "-o", "x.safetensors"], "leaves the image"),
        (["factorize", "--region", "mouth", "-o", "x.txt"], ".safetensors"),
        (["factorize", "--region", "mouth", "--layers", "99", "-o", "x.safetensors"], "layers"),
        ([*FACTORIZE, "--method", "magic"], None),
        ([*FACTORIZE, "--parameter", "regularization"], None),
        ([*FACTORIZE, "--parameter", "regularization=much"], None),
        ([*FACTORIZE, "--parameter", "regularization=nan"], "regularization nan"),
        ([*FACTORIZE, "--parameter", "speed=1"], "no parameter 'speed'"),
        ([*FACTORIZE, "--method", "sefa", "--regularization", "1"], "no parameter 'regularization'"),
        ([*FACTORIZE, "--method", "sefa", "--space", "w+"], "isn't defined in the space w+"),
        ([*FACTORIZE, "--method", "sefa", "--jacobian", "a.safetensors"], "resefa, paper, lowrankgan"),
        ([*FACTORIZE, "--method", "ganspace", "--analysis", "dense"], "not ganspace"),
        ([*FACTORIZE, "--jacobian", "a.safetensors", "--samples", "2"], "--samples"),
        ([*FACTORIZE, "-k", "0"], "num_directions 0"),
        (["sweep", "missing.safetensors", "-o", "x.png"], "can't be read"),
        (["edit", "missing.safetensors", "--move", "0=1", "-o", "no/such/folder/x.png"], "not a folder"),
        (["info", "missing.bin"], "no such file"),
        (["convert", "a.png", "b.npy"], ".npy to .safetensors"),
    ],
)
def test_refusals_are_said_in_words_and_leave_nothing_behind(
    arguments: list[str],
    reason: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    if reason is None:
        with pytest.raises(SystemExit) as stopped:
            main(arguments)
        assert stopped.value.code == 2
    else:
        assert main(arguments) == 1
        error = capsys.readouterr().err
        assert error.startswith("resefa: error: ")
        assert reason in error
    assert list(tmp_path.iterdir()) == []


def test_files_that_exist_are_kept_unless_forced(tmp_path: Path) -> None:
    file = tmp_path / "face.png"
    file.write_text("mine")
    assert run("generate", "--seeds", "1", "-o", file) == 1
    assert file.read_text() == "mine"
    assert run("generate", "--seeds", "1", "-o", file, "--force") == 0
    assert Image.open(file).format == "PNG"


def test_confinement_is_a_number_everywhere_and_a_bare_flag_means_one(tmp_path: Path) -> None:
    small = ("factorize", "--seed", "2", "--region", "mouth", "--space", "w", "-k", "1")
    methods = {}
    for name, more in {"no": ("--confine", "0"), "half": ("--confine", "0.5"), "yes": ("--confine",)}.items():
        assert run(*small, *more, "-o", tmp_path / f"{name}.safetensors") == 0
        methods[name] = resefa.Directions.load(tmp_path / f"{name}.safetensors").method
    assert methods == {"no": "resefa", "half": "resefa-confined", "yes": "resefa-confined"}
    for command in (("factorize", "--region", "mouth"), ("edit", "x", "--move", "0=1"), ("sweep", "x")):
        for amount in ("2", "-1", "much", "nan"):
            with pytest.raises(SystemExit) as stopped:
                run(*command, f"--confine={amount}", "-o", tmp_path / "x.png")
            assert stopped.value.code == 2


def test_a_file_has_the_presets_that_its_name_speaks_of(
    tmp_path: Path, avatars: resefa.Generator, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "stylegan2-ffhq-small.safetensors"
    file.write_bytes(BUNDLED.read_bytes())
    common = ("factorize", "-g", file, "--seed", "2", "--space", "w", "-k", "1")
    assert run(*common, "--region", "chin", "-o", tmp_path / "chin.safetensors") == 0
    region = resefa.Directions.load(tmp_path / "chin.safetensors").region
    assert region is not None
    assert torch.equal(region.mask(64, 64), resefa.Region.preset("ffhq/chin").mask(64, 64))
    capsys.readouterr()
    assert run(*common, "--region", "box:clothes", "-o", tmp_path / "clothes.safetensors") == 1
    assert "left_eye" in capsys.readouterr().err


def test_edits_add_up_through_files_and_are_told_about(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for part in ("mouth", "eyes"):
        common = ("--seed", "2", "--region", f"box:{part}", "--space", "w", "-k", "1", "--all")
        assert run("factorize", *common, "-o", tmp_path / f"{part}.safetensors") == 0
    first, second = tmp_path / "first.safetensors", tmp_path / "second.safetensors"
    shown = ("-o", tmp_path / "face.png", "--force")
    assert run("edit", tmp_path / "mouth.safetensors", "--move", "0=2", *shown, "--save-latent", first) == 0
    capsys.readouterr()
    more = ("--latent", first, "--move", "eyes 0=-9", "--save-latent", second)
    assert run("edit", tmp_path / "eyes.safetensors", *more, *shown) == 0
    assert "beyond the range of -6 to 6" in capsys.readouterr().err
    assert run("info", second, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["edit"] == ["mouth 0 +2", "eyes 0 -9"]
    assert told["seeds"] == [13]


def test_further_samples_follow_a_latents_seed(tmp_path: Path) -> None:
    face = tmp_path / "face.safetensors"
    assert run("generate", "--seeds", "40", "-o", tmp_path / "face.png", "--save-latent", face) == 0
    common = ("--region", "mouth", "--space", "w", "-k", "1", "--samples", "3")
    assert run("factorize", "--latent", face, *common, "-o", tmp_path / "a.safetensors") == 0
    assert resefa.Directions.load(tmp_path / "a.safetensors").seeds == (40, 41, 42)


@pytest.mark.parametrize(
    "command", ["", "generate", "factorize", "sweep", "edit", "convert", "info", "download", "demo"]
)
def test_help_has_examples(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([*command.split(), "--help"])
    assert stopped.value.code == 0
    assert f"resefa {command}" in capsys.readouterr().out.split("example")[-1]


def test_the_module_runs_as_a_program(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "resefa_core", "generate", "--seeds", "0", "-o", str(tmp_path / "face.png")],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout.strip()) == (0, f"wrote {tmp_path / 'face.png'}")


def test_install_reports_without_changing_anything_and_refuses_unknown_jobs() -> None:
    before = sorted(ROOT.iterdir())
    plain = subprocess.run(
        [sys.executable, str(ROOT / "install.py")], capture_output=True, text=True, check=False
    )
    assert plain.returncode == 0
    assert "everything it needs is installed" in plain.stdout
    wrong = subprocess.run([sys.executable, str(ROOT / "install.py"), "x"], capture_output=True, check=False)
    assert wrong.returncode == 2
    assert sorted(ROOT.iterdir()) == before


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_under_the_output_is_told() -> None:
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "resefa_core", "download", "--list"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, cwd=ROOT, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines() == ["resefa: error: [Errno 28] No space left on device"]


def test_parts_are_found_named_shown_and_chosen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tiny = tiny_stylegan2()
    generator, parts, named = (tmp_path / f"{name}.safetensors" for name in ("tiny", "parts", "named"))
    safetensors.torch.save_file(tiny.state_dict(), generator)
    sheet, masks, mouth = tmp_path / "parts.png", tmp_path / "masks", tmp_path / "mouth.safetensors"
    asked = ("parts", "-g", generator)
    assert run(*asked, "--find", "--seeds", "3-5", "--count", "4", "-o", parts) == 0
    assert len(resefa.Parts.load(parts).names) == 4
    assert run(*asked, "--parts", parts, "--name", "0,2=hair", "-o", named, "--sheet", sheet) == 0
    assert "hair                     0, 2" in capsys.readouterr().out
    assert Image.open(sheet).width > 8 * 96
    assert run(*asked, "--parts", named, "--seed", "4", "--masks", masks) == 0
    assert Image.open(next(masks.glob("*-hair.png"))).size == (16, 16)
    chosen = ("factorize", "-g", generator, "--seed", "4", "--space", "w", "-k", "1", "-o", mouth)
    assert run(*chosen, "--region", "part:hair", "--parts", named) == 0
    assert resefa.Directions.load(mouth).region is not None
    assert run(*chosen, "--force", "--region", "at:0.5,0.5 size:0.3") == 0
    capsys.readouterr()
    for wrong in (
        ("--find",),
        ("--find", "-o", tmp_path / "x.safetensors", "--parts", parts),
        ("--parts", parts, "--name", "9=hair"),
        (),
    ):
        assert run(*asked, *wrong) == 1
        assert capsys.readouterr().err.startswith("resefa: error: ")
