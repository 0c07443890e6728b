"""Float32 is float32 where pictures are compared, whatever the program around does with TF32."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from models import tiny_stylegan2

import resefa_core as resefa
from resefa_core.precision import analysis_mode, full_precision

MODERN = hasattr(torch.backends.cuda.matmul, "fp32_precision")


def older(value: bool) -> None:
    torch.backends.cuda.matmul.allow_tf32 = value
    torch.backends.cudnn.allow_tf32 = value


def newer(value: str) -> None:
    backends: Any = torch.backends
    for part in (backends.cuda.matmul, backends.cudnn.conv, backends.cudnn.rnn):
        part.fp32_precision = value


def contradicting() -> None:
    older(True)
    torch.backends.cuda.matmul.fp32_precision = "ieee"


SETTINGS: dict[str, Callable[[], None]] = {
    "untouched": lambda: None,
    "high": lambda: torch.set_float32_matmul_precision("high"),
    "medium": lambda: torch.set_float32_matmul_precision("medium"),
    "on": lambda: older(True),
    "off": lambda: older(False),
}
if MODERN:
    SETTINGS |= {"tf32": lambda: newer("tf32"), "ieee": lambda: newer("ieee"), "contradicting": contradicting}


def readings() -> list[Any]:
    """All that programs can read; the name of the error where reading raises."""
    backends: Any = torch.backends
    reads = [
        lambda: backends.cuda.matmul.allow_tf32,
        lambda: backends.cudnn.allow_tf32,
        torch.get_float32_matmul_precision,
    ]
    if MODERN:
        reads += [
            lambda part=part: part.fp32_precision
            for part in (
                backends.cuda.matmul,
                backends.cudnn.conv,
                backends.cudnn.rnn,
                backends.mkldnn.matmul,
            )
        ]
    found: list[Any] = []
    for read in reads:
        try:
            found.append(read())
        except RuntimeError as error:
            found.append(type(error).__name__)
    return found


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    yield
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = True
    if MODERN:
        torch.backends.cuda.matmul.fp32_precision = "none"


@pytest.mark.parametrize("name", SETTINGS)
def test_tf32_is_off_inside_in_both_interfaces_and_back_afterwards(name: str) -> None:
    SETTINGS[name]()
    before = readings()
    with analysis_mode():
        assert torch.backends.cudnn.allow_tf32 is False
        assert torch.backends.cuda.matmul.allow_tf32 is False
        assert torch.get_float32_matmul_precision() == "highest"
        with torch.backends.cudnn.flags(enabled=False):
            pass
        if MODERN:
            assert torch.backends.cuda.matmul.fp32_precision == "ieee"
            assert "tf32" not in readings()
            assert "bf16" not in readings()
    after = readings()
    assert len(after) == len(before)
    for now, then in zip(after, before, strict=True):
        assert now == then or then == "RuntimeError", "what could be read is as it was"


def test_images_are_drawn_without_tf32(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = tiny_stylegan2(16)
    seen: list[bool] = []
    drawn = generator.finish

    def finish(*given: Any) -> torch.Tensor:
        seen.append(torch.backends.cudnn.allow_tf32)
        return drawn(*given)

    monkeypatch.setattr(generator, "finish", finish)
    older(True)
    generator.synthesize(generator.sample(0))
    assert seen == [False]
    assert torch.backends.cudnn.allow_tf32 is True


def test_what_ends_first_does_not_switch_tf32_on_for_the_others() -> None:
    older(True)
    with full_precision:
        resefa.compute_jacobian(tiny_stylegan2(16), tiny_stylegan2(16).sample(0), "w")
        assert torch.backends.cudnn.allow_tf32 is False
