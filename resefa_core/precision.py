"""Arithmetic: float32 without TF32 where pictures are compared or differentiated, float64 where sums must not
depend on the order a processor adds in."""

from __future__ import annotations

import contextlib
import copy
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from .generators.base import Generator


def wide(tensor: Tensor) -> Tensor:
    """A tensor in float64, on `solver_device`; moved first, since a device without float64 can't cast."""
    return tensor.to(solver_device(tensor.device)).to(torch.float64)


def solver_device(device: torch.device) -> torch.device:
    """Where float64 work is done: the device itself, or the CPU where it has no float64 (Apple's MPS)."""
    return torch.device("cpu") if device.type == "mps" else device


class _FullPrecision:
    """Switches TF32 (on CPUs bfloat16) off for products of float32 while anyone is inside, and back to what
    it was when the last one leaves.

    The switches belong to the process: analyses on several threads share them. PyTorch has two interfaces to
    them, and reading the older one raises where both were set and disagree. So the older one is written,
    which sets both, and then the newer one is put back to what it was.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._before: list[tuple[Callable[[Any], None], Any]] = []

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside > 1:
                return
            self._before = [(write, _if_readable(read)) for read, write in _switches()]
            torch.set_float32_matmul_precision("highest")
            torch.backends.cudnn.allow_tf32 = False

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                for write, value in self._before:
                    if value is not None:
                        write(value)


def _switches() -> list[tuple[Callable[[], Any], Callable[[Any], None]]]:
    """How to read and how to write the older interface, which sets the newer one too, then the newer one."""
    backends: Any = torch.backends
    places = [(backends.cuda, "matmul"), (backends.cudnn, "conv"), (backends.cudnn, "rnn")]
    places += [(backends.mkldnn, "matmul"), (backends.mkldnn, "conv")]
    parts = [getattr(owner, name) for owner, name in places if hasattr(owner, name)]
    attributes = [(backends.cudnn, "allow_tf32")]
    attributes += [(part, "fp32_precision") for part in parts if hasattr(part, "fp32_precision")]
    return [(torch.get_float32_matmul_precision, torch.set_float32_matmul_precision)] + [
        (partial(getattr, owner, name), partial(setattr, owner, name)) for owner, name in attributes
    ]


def _if_readable(read: Callable[[], Any]) -> Any:
    """A setting; None where the two interfaces disagree about it."""
    try:
        return read()
    except RuntimeError:
        return None


full_precision = _FullPrecision()
"""A context in which float32 is float32: for pictures that are compared, and for their derivatives."""


@contextlib.contextmanager
def analysis_mode() -> Iterator[None]:
    """Outside inference mode (where derivatives get lost), without recording, and without TF32."""
    with torch.inference_mode(False), torch.no_grad(), full_precision:
        yield


def as_float32(generator: Generator) -> Generator:
    """The generator itself, or a float32 copy of tensors that derivatives can be taken of."""
    tensors = generator._tensors().values()
    if all(t.dtype == torch.float32 and not t.is_inference() for t in tensors if t.is_floating_point()):
        return generator
    twin = copy.deepcopy(generator)
    for module in twin.modules():
        for name, parameter in module._parameters.items():
            if parameter is not None:
                module._parameters[name] = torch.nn.Parameter(parameter.detach().clone().float(), False)
        for name, buffer in module._buffers.items():
            if buffer is not None:
                module._buffers[name] = buffer.clone().float() if buffer.is_floating_point() else buffer
    return twin


_TURNS = 5
_rates: dict[str, float] = {}


def rough_type(device: torch.device) -> torch.dtype | None:
    """bfloat16 where a device multiplies in it, which is several times as fast as in float32, for products
    that may be off by a percent; else None. Told by the device alone, so that it is the same at all times."""
    if device.type == "cuda":
        native = torch.cuda.get_device_capability(device) >= (8, 0)
    else:
        native = device.type == "cpu" and _multiplies_bfloat16()
    return torch.bfloat16 if native else None


def float64_rate(device: torch.device) -> float:
    """Operations a second in products of float64 matrices, on `solver_device`: a multiplication and an
    addition are two. Measured once for each device and process."""
    device = solver_device(device)
    key = str(device)
    if key not in _rates:
        rows = torch.ones(256, 4096, dtype=torch.float64, device=device)
        seconds = _quickest(lambda: float((rows @ rows.T)[0, 0]))
        _rates[key] = 2.0 * rows.shape[0] ** 2 * rows.shape[1] / seconds
    return _rates[key]


def _multiplies_bfloat16() -> bool:
    """Whether this processor has instructions for it, and oneDNN uses them: PyTorch before 2.5 does not tell.
    Without them oneDNN has bfloat16 on AVX-512 all the same, slower than float32."""
    operators: Any = torch.ops.mkldnn
    if not torch.backends.mkldnn.is_available() or not operators._is_mkldnn_bf16_supported():
        return False
    tells = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, name, bool)() for name in tells)


def _quickest(job: Callable[[], object]) -> float:
    """The seconds of the quickest of some runs of a job; a first one warms up."""
    times = []
    with analysis_mode():
        for _ in range(_TURNS + 1):
            started = time.perf_counter()
            job()
            times.append(time.perf_counter() - started)
    return min(times[1:])
