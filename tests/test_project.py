"""What stands in several of the project's files says the same, and what it installs is fixed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from resefa_core import METHODS, __version__

ROOT = Path(__file__).resolve().parents[1]
PROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
LOCKS = sorted((ROOT / "locks").glob("*.txt"))


def lines_of(name: str) -> list[str]:
    return (ROOT / name).read_text(encoding="utf-8").split()


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_actions_are_pinned_to_commits_and_keep_no_credentials(workflow: Path) -> None:
    text = workflow.read_text(encoding="utf-8")
    uses = re.findall(r"uses: (.*)", text)
    assert uses
    for action in uses:
        assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v[\d.]+", action), action
    assert text.count("uses: actions/checkout@") == text.count("persist-credentials: false")
    assert re.search(r"^permissions:\n  contents: read$", text, re.MULTILINE)


def test_the_version_is_one_number() -> None:
    assert re.findall(r'^version = "(.*)"$', PROJECT, re.MULTILINE) == [__version__]


def test_all_lists_of_requirements_ask_for_the_same() -> None:
    (listed,) = re.findall(r"^dependencies = \[(.*)\]$", PROJECT, re.MULTILINE)
    asked = re.findall(r'"([^"]+)"', listed)
    assert lines_of("requirements.txt") == asked
    assert set(asked) < set(lines_of("space/requirements.txt"))


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.stem)
def test_locks_hold_every_package_with_hashes(lock: Path) -> None:
    text = lock.read_text(encoding="utf-8").replace("\\\n", " ")
    entries = [line for line in text.splitlines() if line and not line.startswith(("#", " "))]
    locked: dict[str, list[str]] = {}
    for entry in entries:
        requirement = Requirement(re.split(r"\s--hash", entry)[0].strip())
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), requirement
        versions = [clause.version for clause in requirement.specifier if clause.operator == "=="]
        assert len(versions) == 1, requirement
        locked.setdefault(canonicalize_name(requirement.name), []).extend(versions)
    assert not {"torch", "triton"} & set(locked)
    wanted = [Requirement(text) for text in lines_of("requirements.txt")]
    if lock.stem == "test":
        (extra,) = re.findall(r"^dev = \[(.*?)^\]", PROJECT, re.MULTILINE | re.DOTALL)
        wanted += [Requirement(text) for text in re.findall(r'"([^"]+)"', extra) if "resefa" not in text]
    for requirement in wanted:
        versions = locked[canonicalize_name(requirement.name)]
        assert all(requirement.specifier.contains(version) for version in versions), requirement


def test_the_papers_authors_are_its_five() -> None:
    authors = ["Zhu", "Shen", "Xu", "Zhao", "Chen"]
    named = "Zhu, Shen, Xu, Zhao and Chen: Region-Based Semantic Factorization in GANs. ICML 2022"
    for key in ("resefa", "paper", "published"):
        assert METHODS[key].citation.startswith(named)
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.findall(r"family-names: (\w+)", citation) == authors
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (bibtex,) = re.findall(r"author += \{(.*)\}", readme)
    assert [person.split(",")[0] for person in bibtex.split(" and ")] == authors


def test_one_owner_is_named_wherever_one_is() -> None:
    """The addresses of the repository: whoever publishes it under another name changes all of them alike."""
    named = re.compile(r"(?:github|raw\.githubusercontent)\.com/([\w-]+/resefa)\b")
    texts = [
        file.read_text(encoding="utf-8")
        for pattern in (
            "*.toml",
            "*.md",
            "gradio_app/*.py",
            "gradio_app/locales/*.json",
            "resefa_core/**/*.py",
        )
        for file in ROOT.glob(pattern)
    ]
    assert len([text for text in texts if named.search(text)]) >= 9
    papers = "zhujiapeng/resefa"
    assert len({owner for text in texts for owner in named.findall(text)} - {papers}) == 1
