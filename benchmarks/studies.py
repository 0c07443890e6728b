"""Which method, on which region? The studies of `benchmarks/studies/`, and what docs say of them.

    python benchmarks/studies.py [STUDY ...] [--dcgan FILE] [--digiface FILE] [--ordinary FILE]
                                 [--identity FILE] [--output-dir DIR] [--seeds N] [--documents]

A study compares methods at equal change, as `resefa evaluate` does with its file:

* `peers`: ours, the paper's form, the published code, LowRankGAN, SeFa, GANSpace and StyleSpace, on the
  bundled generator; each in the space where it is at home, on the very image and on others, confined or not;
* `ordinary`: the same on a StyleGAN2 of drawn faces whose mapping network was learned, given by `--ordinary`:
  the generator that was bundled first, which this repository's history holds;
* `natural`: the same on a DCGAN of photographs, given by `--dcgan`: generator.safetensors of five transposed
  convolutions without biases, with activations cut off at 15/16, from Azzam-Alhussain/QDCGAN-PYNQ;
* `rendered`: the same on a DCGAN of rendered faces, given by `--digiface`: that of PyTorch's tutorial, from
  the package gan-face-generate;
* `robustness`: the region shifted, grown, shrunk and scribbled, against LowRankGAN with its relaxation from 0
  to 100;
* `samples`: how directions carry over, by how many images they are solved on;
* `regularization`: λ from 1e-5 to 1e-1, free and confined, on the images that defaults are chosen on;
* `spaces`: W, W+ and S, on all, coarse, middle and fine layers, confined or not;
* `confined`: directions that are found for confined edits, sharp and soft, by λ.

Each writes its results into a folder of its own and goes on from there when it is run again. `--documents`
rewrites `docs/evaluation.md`, its tables, figures (which need matplotlib) and sheets, and the table of
`docs/spaces.md`: of the studies that are given, all for none. `--seeds` makes trials short: so many images of
each study, nothing for the documentation.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path

import safetensors.torch
from PIL import Image
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import resefa_core as resefa
from benchmarks.studies_text import FRAGMENTS, readme, replace_fragment
from resefa_core.evaluation.config import Study, read_study
from resefa_core.evaluation.pictures import pareto, study_sheet
from resefa_core.evaluation.results import Evaluation
from resefa_core.evaluation.study import RESULTS, evaluate
from resefa_core.evaluation.tables import report

ROOT = Path(__file__).resolve().parents[1]
STUDIES = ROOT / "benchmarks" / "studies"
DOCUMENT = ROOT / "docs" / "evaluation.md"
FOLDER = ROOT / "docs" / "evaluation"
DCGAN_BOUND = 15 / 16
DCGAN_NOISE = (-1.0, 0.992)
PARETO = "pareto.png"
SHEET_WIDTH = 1240
JPEG_QUALITY = 85


def load_dcgan(file: Path) -> resefa.Generator:
    """The DCGAN of the natural study, whose file names no activation."""
    tensors = safetensors.torch.load_file(file)
    weights = [tensors[name].float() for name in sorted(tensors, key=lambda name: int(name.split(".")[0]))]
    generator = resefa.DCGAN(
        [weight.shape[0] for weight in weights] + [weights[-1].shape[1]],
        norms=[False] * (len(weights) - 1),
        activation="clamp",
        slope=DCGAN_BOUND,
        noise_range=DCGAN_NOISE,
    )
    generator.load_state_dict({f"convolutions.{i}.weight": weight for i, weight in enumerate(weights)})
    generator.name = "dcgan_celeba64"
    return generator.eval()


def load(name: str, study: Study, arguments: argparse.Namespace) -> resefa.Generator:
    """The generator that a study is made on."""
    if name == "natural":
        return load_dcgan(arguments.dcgan)
    file = {"ordinary": arguments.ordinary, "rendered": arguments.digiface}.get(name)
    if file is not None:
        generator = resefa.load_generator(file)
        generator.name = study.generator
        return generator
    return resefa.load_generator(study.generator)


def run(name: str, study: Study, generator: resefa.Generator, folder: Path) -> Evaluation:
    """Measure what is missing of a study, and write its tables and sheets beside its results."""
    started = time.perf_counter()
    with tqdm(desc=name, unit="step") as bar:

        def report_step(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        evaluation = evaluate(study, generator, folder, progress=report_step)
    (folder / "tables.md").write_text(report(evaluation), encoding="utf-8")
    for region in evaluation.areas:
        picture = study_sheet(evaluation, region)
        if picture is not None:
            picture.save(folder / f"sheet-{region}.png")
    plot = pareto(evaluation)
    if plot is not None:
        plot.save(folder / PARETO)
    print(f"{name}: {time.perf_counter() - started:.0f} s, in {folder}")
    return evaluation


def document(name: str, evaluation: Evaluation, folder: Path) -> None:
    """Put a study's tables, figure and sheets into the documentation."""
    from benchmarks.studies_figures import FIGURES

    FOLDER.mkdir(exist_ok=True)
    FIGURES[name](evaluation).savefig(FOLDER / f"{name}.png")
    (FOLDER / f"{name}.md").write_text(
        f"# {evaluation_title(name)}\n\n{report(evaluation)}", encoding="utf-8"
    )
    parts = [f"![{evaluation_title(name)}](evaluation/{name}.png)"]
    if (folder / PARETO).is_file():
        with Image.open(folder / PARETO) as picture:
            picture.save(FOLDER / f"{name}-pareto.png")
        parts.append(f"![Locality against how natural edits are](evaluation/{name}-pareto.png)")
    parts.append(FRAGMENTS[name](evaluation))
    for region in evaluation.areas:
        sheet = folder / f"sheet-{region}.png"
        if sheet.is_file():
            with Image.open(sheet) as picture:
                size = SHEET_WIDTH, round(SHEET_WIDTH * picture.height / picture.width)
                small = picture.convert("RGB").resize(size, Image.Resampling.LANCZOS)
            small.save(FOLDER / f"{name}-{region}.jpg", quality=JPEG_QUALITY)
            parts.append(
                f"<details><summary>Edits of two images: {region}</summary>\n\n"
                f"![Each method's edits of the {region}, backwards and forwards, and what they change]"
                f"(evaluation/{name}-{region}.jpg)\n\n</details>"
            )
    parts.append(f"[All tables of this study](evaluation/{name}.md)")
    replace_fragment(DOCUMENT, name, "\n\n".join(parts))


def evaluation_title(name: str) -> str:
    return read_study(STUDIES / f"{name}.json").title


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument(
        "studies", nargs="*", metavar="STUDY", help=f"of {', '.join(FRAGMENTS)} (default: all)"
    )
    parser.add_argument(
        "--dcgan", type=Path, help="the file that `natural` needs; without it, it is left out"
    )
    parser.add_argument(
        "--ordinary", type=Path, help="the file that `ordinary` needs; without it, it is left out"
    )
    parser.add_argument(
        "--digiface", type=Path, help="the file that `rendered` needs; without it, it is left out"
    )
    parser.add_argument(
        "--identity",
        metavar="FILE",
        help="a face recogniser (ONNX), for the faces of `natural` and `rendered`",
    )
    parser.add_argument("--output-dir", type=Path, default=ROOT / "benchmarks" / "results" / "studies")
    parser.add_argument("--seeds", type=int, help="only so many images of each study: a trial")
    parser.add_argument("--documents", action="store_true", help="rewrite what docs/ says")
    arguments = parser.parse_args()
    unknown = set(arguments.studies) - set(FRAGMENTS)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; expected some of {', '.join(FRAGMENTS)}")
    if arguments.seeds is not None and arguments.documents:
        parser.error("--seeds is for trials: it can't be combined with --documents")
    return arguments


def main() -> None:
    arguments = parse_arguments()
    names = arguments.studies or list(FRAGMENTS)
    files = {
        "natural": ("--dcgan", arguments.dcgan),
        "rendered": ("--digiface", arguments.digiface),
        "ordinary": ("--ordinary", arguments.ordinary),
    }
    for name, (option, file) in files.items():
        if file is None and name in names:
            print(f"{name}: left out, it needs {option} FILE")
            names.remove(name)
    try:
        for name in names:
            study = read_study(STUDIES / f"{name}.json")
            if arguments.seeds is not None:
                study = replace(study, seeds=study.seeds[: arguments.seeds])
            if name in ("natural", "rendered"):
                study = replace(study, identity_model=arguments.identity)
            generator = load(name, study, arguments)
            folder: Path = arguments.output_dir / name
            folder.parent.mkdir(parents=True, exist_ok=True)
            evaluation = run(name, study, generator, folder)
            if arguments.documents:
                document(name, evaluation, folder)
    except resefa.ReSeFaError as error:
        raise SystemExit(f"error: {error}") from error
    kept = [arguments.output_dir / name / RESULTS for name in ("peers", "samples")]
    if arguments.documents and all(file.is_file() for file in kept):
        text = readme(*(Evaluation.load(file) for file in kept))
        replace_fragment(ROOT / "docs" / "spaces.md", "evaluation", text)


if __name__ == "__main__":
    main()
