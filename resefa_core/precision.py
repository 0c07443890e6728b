"""Arithmetic: float32 without TF32 where pictures are compared or differentiated, float64 where sums must not
depend on the order a processor adds in."""

from __future__ import annotations

import contextlib
import copy
import threading
from collections.abc import Iterator
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
    """Switches TF32 off while anyone is inside, and back to what it was when the last one leaves.

    The switches belong to the process: analyses on several threads share them.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._before: list[tuple[Any, str, Any]] = []

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside > 1:
                return
            matmul: Any = torch.backends.cuda.matmul
            cudnn: Any = torch.backends.cudnn
            if hasattr(matmul, "fp32_precision"):
                switches: list[tuple[Any, str, Any]] = [
                    (matmul, "fp32_precision", "ieee"),
                    (cudnn.conv, "fp32_precision", "ieee"),
                ]
            else:
                switches = [(matmul, "allow_tf32", False), (cudnn, "allow_tf32", False)]
            self._before = [(owner, name, getattr(owner, name)) for owner, name, _ in switches]
            for owner, name, value in switches:
                setattr(owner, name, value)

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                for owner, name, value in self._before:
                    setattr(owner, name, value)


_full_precision = _FullPrecision()


@contextlib.contextmanager
def analysis_mode() -> Iterator[None]:
    """Outside inference mode (where derivatives get lost), without recording, and without TF32."""
    with torch.inference_mode(False), torch.no_grad(), _full_precision:
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
