"""Zip archives, as PyTorch and numpy write them: which bytes belong to which name."""

from __future__ import annotations

import struct
import zlib
from typing import NamedTuple

MAX_ENTRIES = 20_000
_MAX_DIRECTORY_BYTES = 8 << 20
_MAX_COMMENT_BYTES = 1 << 16
_END, _END_64, _LOCATOR_64 = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"
_ENTRY, _LOCAL = b"PK\x01\x02", b"PK\x03\x04"
_UNSET = 0xFFFFFFFF
_STORED, _DEFLATED = 0, 8


class Entry(NamedTuple):
    """What an archive has under a name, as a view of its bytes."""

    name: str
    method: int
    length: int
    checksum: int
    packed: memoryview

    def stored(self) -> memoryview:
        """The bytes of an entry that is not compressed.

        Raises:
            ValueError: it is.
        """
        if self.method != _STORED or len(self.packed) != self.length:
            raise ValueError(f"entry {self.name[:40]!r} is compressed, as PyTorch writes none")
        return self.packed

    def unpacked(self) -> bytes:
        """The bytes of an entry, unpacked, of the length and checksum that the archive states.

        Raises:
            ValueError: damaged, or compressed otherwise than by deflate.
        """
        if self.method == _STORED:
            data = bytes(self.packed)
        elif self.method == _DEFLATED:
            try:
                data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(self.packed, self.length + 1)
            except zlib.error as problem:
                raise ValueError(f"entry {self.name[:40]!r} is damaged: {problem}") from problem
        else:
            raise ValueError(f"entry {self.name[:40]!r} is compressed by the unknown method {self.method}")
        if len(data) != self.length or zlib.crc32(data) != self.checksum:
            raise ValueError(f"entry {self.name[:40]!r} is damaged: its length or checksum is another")
        return data


def read_directory(data: memoryview, max_bytes: int) -> dict[str, Entry]:
    """The entries of an archive.

    Args:
        data: the whole file.
        max_bytes: how much the entries may unpack to together, by what they state.

    Raises:
        ValueError: damaged, cut off, encrypted, too large, or too many entries.
    """
    count, size, start = _end(data)
    if count > MAX_ENTRIES or size > _MAX_DIRECTORY_BYTES:
        raise ValueError(f"an archive of {count} entries, more than the {MAX_ENTRIES} that are accepted")
    directory = _part(data, start, size)
    entries: dict[str, Entry] = {}
    position = total = 0
    for _ in range(count):
        header = _part(directory, position, 46)
        if header[:4] != _ENTRY:
            raise ValueError("the archive's directory is damaged")
        flags, method = struct.unpack("<HH", header[8:12])
        checksum, packed, length, name_length, extra_length, comment_length = struct.unpack(
            "<IIIHHH", header[16:34]
        )
        (offset,) = struct.unpack("<I", header[42:46])
        name = bytes(_part(directory, position + 46, name_length)).decode("utf-8")
        extra = _part(directory, position + 46 + name_length, extra_length)
        length, packed, offset = _wide(extra, length, packed, offset)
        total += length
        if total > max_bytes:
            raise ValueError(f"it unpacks to over {max_bytes >> 20} MB")
        if flags & 1:
            raise ValueError(f"entry {name[:40]!r} is encrypted")
        if name in entries:
            raise ValueError(f"entry {name[:40]!r} occurs twice")
        entries[name] = Entry(name, method, length, checksum, _contents(data, offset, packed))
        position += 46 + name_length + extra_length + comment_length
    return entries


def _part(data: memoryview, start: int, size: int) -> memoryview:
    if start < 0 or size < 0 or start + size > len(data):
        raise ValueError("the archive is cut off, or damaged")
    return data[start : start + size]


def _end(data: memoryview) -> tuple[int, int, int]:
    """Number of entries, and size and place of the directory."""
    tail_start = max(0, len(data) - _MAX_COMMENT_BYTES - 22)
    tail = bytes(data[tail_start:])
    place = tail.rfind(_END)
    if place < 0 or place + 22 > len(tail):
        raise ValueError("the archive is cut off: its directory is missing")
    count, size, start = struct.unpack("<HII", tail[place + 10 : place + 20])
    locator = tail_start + place - 20
    if locator >= 0 and data[locator : locator + 4] == _LOCATOR_64:
        (place_64,) = struct.unpack("<Q", data[locator + 8 : locator + 16])
        record = _part(data, place_64, 56)
        if record[:4] != _END_64:
            raise ValueError("the archive's directory is damaged")
        count, size, start = struct.unpack("<QQQ", record[32:56])
    return count, size, start


def _wide(extra: memoryview, length: int, packed: int, offset: int) -> tuple[int, int, int]:
    """Sizes and place with those replaced that are too large for 32 bits."""
    position = 0
    while position + 4 <= len(extra):
        kind, size = struct.unpack("<HH", extra[position : position + 4])
        fields = _part(extra, position + 4, size)
        position += 4 + size
        if kind != 1:
            continue
        values = [number for (number,) in struct.iter_unpack("<Q", fields[: size - size % 8])]
        replaced = [values.pop(0) if old == _UNSET and values else old for old in (length, packed, offset)]
        return replaced[0], replaced[1], replaced[2]
    return length, packed, offset


def _contents(data: memoryview, offset: int, length: int) -> memoryview:
    header = _part(data, offset, 30)
    if header[:4] != _LOCAL:
        raise ValueError("the archive's directory is damaged")
    name_length, extra_length = struct.unpack("<HH", header[26:30])
    return _part(data, offset + 30 + name_length + extra_length, length)
