"""A device that is none. Its tensors compute on the CPU and refuse to meet the CPU's, as CUDA's do.

PyTorch's spare backend gets a name, and a tensor subclass claims to lie there. `install` changes the process
for good (it renames the backend and replaces constructors that work below every dispatcher), so the tests
that use it run in a process of their own.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils import backend_registration
from torch.utils._mode_utils import no_dispatch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

NAME = "sim"
AVAILABLE = hasattr(backend_registration, "_setup_privateuseone_for_python_backend")
"""Whether this PyTorch lets a backend be written in Python."""

_aten: Any = torch.ops.aten
_MOVES = {_aten._to_copy.default, _aten.copy_.default, _aten.to.device}
_READS_BY_INDEX = {_aten.index.Tensor, _aten._unsafe_index.Tensor}
_WRITES_BY_INDEX = {_aten.index_put.default, _aten.index_put_.default, _aten._index_put_impl_.default}
_TO_HOST: set[Callable[..., Any]] = {
    Tensor.item,
    Tensor.tolist,
    Tensor.__bool__,
    Tensor.__contains__,
    Tensor.__float__,
    Tensor.__format__,
    Tensor.__index__,
    Tensor.__int__,
    Tensor.__repr__,
}


class SimulatedTensor(Tensor):
    """A tensor that claims to lie on the device; `host` holds its numbers, in the same storage."""

    host: Tensor

    @staticmethod
    def __new__(cls, host: Tensor) -> SimulatedTensor:
        host = host.detach()
        assert type(host) is Tensor
        assert host.device.type == "cpu"
        made: SimulatedTensor = Tensor._make_subclass(  # type: ignore[assignment]
            cls, host, False, dispatch_device=True, device_for_backend_keys=torch.device(NAME, 0)
        )
        made.host = host
        return made

    @classmethod
    def __torch_dispatch__(
        cls, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return _computed(function, args, kwargs or {})

    @classmethod
    def __torch_function__(
        cls, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if function in _TO_HOST and isinstance(args[0], SimulatedTensor):
            return function(args[0].host, *args[1:], **(kwargs or {}))
        if function in (Tensor.__getitem__, Tensor.__setitem__):
            args = (args[0], _with_lists_there(args[1]), *args[2:])
        with torch._C.DisableTorchFunctionSubclass():
            return function(*args, **(kwargs or {}))

    def __deepcopy__(self, memo: dict[int, Any]) -> SimulatedTensor:
        if id(self) not in memo:
            memo[id(self)] = made = SimulatedTensor(self.host.clone())
            if getattr(self, "_is_param", False):
                made._is_param = True  # type: ignore[attr-defined]
        found: SimulatedTensor = memo[id(self)]
        return found


def _with_lists_there(index: Any) -> Any:
    """An index whose lists are tensors on the device, as CUDA makes of them."""
    if isinstance(index, tuple):
        return tuple(_with_lists_there(part) for part in index)
    return SimulatedTensor(_constructor(index)) if isinstance(index, list) else index


def _check(function: Any, leaves: list[Any]) -> None:
    """Raise RuntimeError where tensors of two devices meet; numbers without dimensions may, and indices."""
    tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
    if function in _MOVES or not any(isinstance(each, SimulatedTensor) for each in tensors):
        return
    if function in _READS_BY_INDEX:
        tensors = tensors[:1]
    elif function in _WRITES_BY_INDEX:
        tensors = [tensors[0], tensors[-1]]
    if not all(isinstance(each, SimulatedTensor) or each.dim() == 0 for each in tensors):
        raise RuntimeError(
            f"Expected all tensors to be on the same device, but found at least two devices, {NAME}:0 and "
            f"cpu! ({function})"
        )


def _is_there(device: Any) -> bool:
    return device is not None and torch.device(device).type == NAME


def _on_host(value: Any) -> Any:
    return value.host if isinstance(value, SimulatedTensor) else value


def _computed(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Run an operation on the CPU; what comes out lies where CUDA would have put it."""
    leaves = tree_leaves((args, kwargs))
    if function is torch.ops.prim.device.default:
        return torch.device(NAME, 0)
    if any(isinstance(leaf, Tensor) and leaf.device.type == "meta" for leaf in leaves):
        shapes = tree_map(
            lambda leaf: leaf.host.to("meta") if isinstance(leaf, SimulatedTensor) else leaf, (args, kwargs)
        )
        return function(*shapes[0], **shapes[1])
    _check(function, leaves)
    there = any(isinstance(leaf, SimulatedTensor) for leaf in leaves)
    named = [leaf for leaf in leaves if isinstance(leaf, torch.device)]
    if kwargs.get("device") is not None:
        there = _is_there(kwargs["device"])
        kwargs = kwargs | {"device": torch.device("cpu")}
    elif named:
        there = any(_is_there(each) for each in named)
        args = tree_map(lambda leaf: torch.device("cpu") if isinstance(leaf, torch.device) else leaf, args)
    if kwargs.get("pin_memory"):
        kwargs = kwargs | {"pin_memory": False}
    given = {id(leaf.host): leaf for leaf in leaves if isinstance(leaf, SimulatedTensor)}
    out = function(*tree_map(_on_host, args), **tree_map(_on_host, kwargs))
    if torch.Tag.inplace_view in function.tags and isinstance(args[0], SimulatedTensor):
        with no_dispatch():
            args[0].data = SimulatedTensor(args[0].host)

    def placed(value: Any) -> Any:
        if not isinstance(value, Tensor) or id(value) in given:
            return given.get(id(value), value)
        if not there or type(value) is not Tensor:
            return value
        return SimulatedTensor(value.clone() if any(value is leaf for leaf in leaves) else value)

    return tree_map(placed, out)


class OnDevice(TorchDispatchMode):
    """Serves what makes tensors there out of nothing or of the CPU's, on the thread that enters it."""

    def __torch_dispatch__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        leaves = tree_leaves((args, kwargs))
        concerned = _is_there(kwargs.get("device")) or any(
            isinstance(leaf, SimulatedTensor) or (isinstance(leaf, torch.device) and _is_there(leaf))
            for leaf in leaves
        )
        return _computed(function, args, kwargs) if concerned else function(*args, **kwargs)


_constructor = torch.tensor


def _tensor(data: Any, *, dtype: Any = None, device: Any = None, **more: Any) -> Tensor:
    if not _is_there(device):
        return _constructor(data, dtype=dtype, device=device, **more)
    return _constructor(data, dtype=dtype, **more).to(NAME)


def install() -> None:
    """Give this process the device, on every thread that it starts from now on."""
    backend_registration._setup_privateuseone_for_python_backend(NAME)
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    new_tensor, run = Tensor.new_tensor, threading.Thread.run

    def new_like(self: Tensor, data: Any, *, dtype: Any = None, device: Any = None, **more: Any) -> Tensor:
        if not isinstance(self, SimulatedTensor):
            return new_tensor(self, data, dtype=dtype, device=device, **more)
        return _tensor(data, dtype=dtype or self.dtype, device=device or NAME, **more)

    def run_there(self: threading.Thread) -> None:
        with OnDevice():
            run(self)

    torch.tensor = _tensor
    Tensor.new_tensor = new_like  # type: ignore[method-assign, assignment]
    threading.Thread.run = run_there  # type: ignore[method-assign]
