"""Tensors and arrays that a file describes: the same numbers wherever the file has them, copied no more than
they are long."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from resefa_core.files.described import Storage, StoredArray, StoredTensor, StoredType

TYPES = [
    torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int8, torch.int16, torch.int32,
    torch.int64, torch.uint8, torch.bool,
]  # fmt: skip
CODES = {"f2": torch.float16, "f4": torch.float32, "f8": torch.float64, "i8": torch.int64, "b1": torch.bool}


def shifted(data: bytes, shift: int) -> memoryview:
    """The bytes in writable memory, `shift` beyond an address that every type is aligned at."""
    room = bytearray(len(data) + 32)
    start = -torch.frombuffer(room, dtype=torch.uint8).data_ptr() % 16 + shift
    room[start : start + len(data)] = data
    return memoryview(room)[start : start + len(data)]


def numbers(dtype: torch.dtype, count: int) -> Tensor:
    values = torch.randint(0, 100, (count,), generator=torch.Generator().manual_seed(1))
    return (values % 2 if dtype == torch.bool else values).to(dtype)


@pytest.mark.parametrize("dtype", TYPES, ids=str)
@pytest.mark.parametrize("shift", [0, 1, 2, 4])
@pytest.mark.parametrize(
    ("shape", "strides", "offset"),
    [((), (), 3), ((4, 3), (3, 1), 0), ((3, 4), (1, 3), 2), ((2, 5), (0, 1), 1), ((3,), (7,), 0)],
)
def test_tensors_are_those_of_their_strides_at_every_place(
    dtype: torch.dtype, shift: int, shape: tuple[int, ...], strides: tuple[int, ...], offset: int
) -> None:
    row = numbers(dtype, 16)
    data = shifted(row.view(torch.uint8).numpy().tobytes() + b"x", shift)
    found = StoredTensor(Storage(dtype, 16, data), offset, shape, strides, dtype).tensor()
    assert found.dtype == dtype
    assert torch.equal(found, row.as_strided(shape, strides, offset))


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("shift", [0, 1])
@pytest.mark.parametrize("by_columns", [False, True])
def test_arrays_are_read_by_rows_and_by_columns_at_every_place(
    code: str, shift: int, by_columns: bool
) -> None:
    row = numbers(CODES[code], 24)
    data = shifted(row.view(torch.uint8).numpy().tobytes(), shift)
    found = StoredArray((2, 3, 4), StoredType(code), by_columns, data).tensor()
    whole = row.reshape(4, 3, 2).permute(2, 1, 0) if by_columns else row.reshape(2, 3, 4)
    assert torch.equal(found, whole)


def test_a_misaligned_tensor_is_copied_alone() -> None:
    """Of a storage of 4 MB a tensor of 12 numbers takes 48 bytes, however far they lie apart."""
    copied: list[int] = []

    class Counted(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, function, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            found = function(*args, **(kwargs or {}))
            if isinstance(found, Tensor):
                storage = found.untyped_storage()
                if storage.data_ptr() not in known:
                    copied.append(storage.nbytes())
                    known.add(storage.data_ptr())
            return found

    data = shifted(bytes(4 << 20), 1)
    whole = torch.frombuffer(data, dtype=torch.uint8)
    known = {whole.untyped_storage().data_ptr()}
    with Counted():
        for strides in ((3, 1), (250_000, 1), (1, 40)):
            found = StoredTensor(
                Storage(torch.float32, 1 << 20, data), 5, (4, 3), strides, torch.float32
            ).tensor()
            assert found.shape == (4, 3)
    assert sum(copied) <= 3 * 12 * 4
    assert copied


def test_described_numbers_that_are_not_there_are_refused() -> None:
    with pytest.raises(ValueError, match="missing"):
        StoredTensor(Storage(torch.float32, 4), 0, (4,), (1,), torch.float32).tensor()
    for shape in ((5,), (math.prod((1 << 40, 3)),)):
        with pytest.raises(ValueError, match="does not fit"):
            StoredTensor(
                Storage(torch.float32, 4, shifted(bytes(16), 0)), 0, shape, (1,), torch.float32
            ).tensor()
