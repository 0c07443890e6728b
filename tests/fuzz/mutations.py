"""Changes of files that keep most of their structure: instructions of pickles, entries of archives, headers,
chunks, JSON and plain bytes. All are drawn from one `random.Random`, so that a seed names a file."""

from __future__ import annotations

import ast
import base64
import io
import json
import pickletools
import struct
import zipfile
import zlib
from collections.abc import Callable
from random import Random
from typing import Any

NUMBERS = (
    0, 1, 2, 3, 4, 7, 8, 16, 64, 127, 128, 255, 256, 512, 1000, 4096, 65_535, 65_536, 1 << 20, 1 << 24,
    (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 32, 1 << 40, 1 << 47, 1 << 48, (1 << 53) + 1, (1 << 63) - 1,
    1 << 63, (1 << 64) - 1, 1 << 70, 10**40, 10**400, -1, -2, -(1 << 31), -(1 << 63),
)  # fmt: skip
INF = float("inf")
FLOATS = (
    0.0,
    -0.0,
    0.5,
    -1.0,
    1e-320,
    1e-30,
    3.0,
    1e6,
    3e38,
    1e300,
    float("inf"),
    -float("inf"),
    float("nan"),
)
TEXTS = (
    "", "w", "a\0b", "\ud800", "\u202e\x1b[31m", "x" * 300, "../../etc/passwd", "nan", "9" * 400, "[" * 2000,
    "{}", "w+", "s", "stylegan2", "mapping.fc0.weight", "synthesis.b4096.torgb.weight", "cpu", "null",
)  # fmt: skip
GLOBALS = (
    "os system", "builtins eval", "builtins exec", "builtins getattr", "builtins __import__", "torch load",
    "torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_tensor", "torch._utils _rebuild_parameter",
    "torch._tensor _rebuild_from_type_v2", "torch.storage _load_from_bytes", "torch FloatStorage",
    "torch DoubleStorage", "torch HalfStorage", "torch BoolStorage", "torch QInt8Storage", "torch Size",
    "torch.storage UntypedStorage", "numpy dtype", "numpy.core.multiarray _reconstruct",
    "numpy._core.multiarray scalar", "numpy.core.numeric _frombuffer", "_codecs encode",
    "collections OrderedDict", "dnnlib.tflib.network Network", "dnnlib.util EasyDict",
    "torch_utils.persistence _reconstruct_persistent_obj", "subprocess Popen", "pickle loads",
)  # fmt: skip
PLAIN_CODES = b"(01.2NQR]}ab)dlotesu\x81\x85\x86\x87\x88\x8f\x90\x91\x92\x93\x94"
ARRAY_TYPES = ("<f4", ">f4", "<f2", "<f8", "|O", "<c8", "V4", "<f16", "<U9", [("a", "<f4")], "f4,f4")
DEEP = 200


def json_value(value: Any, draw: Random) -> Any:
    """A JSON value with one part of it changed, at any depth."""
    if isinstance(value, dict) and value and draw.random() < 0.8:
        key = draw.choice(sorted(value, key=str))
        kind = draw.randrange(8)
        if kind == 0:
            return {k: v for k, v in value.items() if k != key}
        if kind == 1:
            return {**value, draw.choice(TEXTS): value[key]}
        if kind == 2:
            return {**value, key: value[draw.choice(sorted(value, key=str))]}
        return {**value, key: json_value(value[key], draw)}
    if isinstance(value, list) and value and draw.random() < 0.8:
        index = draw.randrange(len(value))
        kind = draw.randrange(8)
        if kind == 0:
            return value[:index] + value[index + 1 :]
        if kind == 1:
            return value[:index] + [value[index]] * draw.choice((2, 3, 100)) + value[index + 1 :]
        if kind == 2:
            return value[::-1]
        return [*value[:index], json_value(value[index], draw), *value[index + 1 :]]
    return any_value(draw)


def any_value(draw: Random) -> Any:
    kind = draw.randrange(9)
    if kind < 3:
        return draw.choice(NUMBERS)
    if kind < 5:
        return draw.choice(FLOATS)
    if kind == 5:
        return draw.choice(TEXTS)
    if kind == 6:
        return draw.choice((None, True, False, [], {}, [[]], {"": None}))
    if kind == 7:
        nested: Any = 1
        for _ in range(draw.choice((2, 20, DEEP))):
            nested = [nested] if draw.random() < 0.5 else {"not": nested}
        return nested
    return [draw.choice(NUMBERS) for _ in range(draw.choice((1, 2, 3, 40)))]


def json_text(text: str, draw: Random) -> str:
    """JSON with a change; text that is none is replaced, at times by something that is none either."""
    if draw.random() < 0.1:
        return draw.choice((*TEXTS, "[" * 100_000, "9" * 5000, text[: len(text) // 2], text * 2))
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return draw.choice(TEXTS)
    return json.dumps(json_value(value, draw), ensure_ascii=draw.random() < 0.9)


def plain(data: bytes, draw: Random) -> bytes:
    """Bytes flipped, cut, repeated, moved, or replaced by a number."""
    changed = bytearray(data)
    for _ in range(draw.choice((1, 1, 2, 5))):
        if not changed:
            break
        place = draw.randrange(len(changed))
        if draw.random() < 0.5:
            place = min(place, draw.randrange(400))
        length = draw.choice((1, 2, 4, 8, 30, 500))
        kind = draw.randrange(8)
        if kind == 0:
            changed[place] ^= 1 << draw.randrange(8)
        elif kind == 1:
            changed[place] = draw.randrange(256)
        elif kind == 2:
            del changed[place : place + length]
        elif kind == 3:
            changed[place:place] = changed[place : place + length]
        elif kind == 4:
            other = draw.randrange(len(changed))
            changed[place : place + length] = changed[other : other + length]
        elif kind == 5:
            layout = draw.choice("BHIQ")
            number = draw.choice(NUMBERS) % (1 << 8 * struct.calcsize(layout))
            packed = struct.pack(draw.choice("<>") + layout, number)
            changed[place : place + len(packed)] = packed
        elif kind == 6:
            del changed[place:]
        else:
            changed += bytes(draw.choice((1, 8, 5000)))
    return bytes(changed)


def instructions(data: bytes) -> tuple[list[bytes], bytes]:
    """A pickle as its instructions, and what is behind it."""
    starts = [place for _, _, place in pickletools.genops(data)]
    return [data[a:b] for a, b in zip(starts, [*starts[1:], starts[-1] + 1], strict=True)], data[
        starts[-1] + 1 :
    ]


def integer(draw: Random) -> bytes:
    """An instruction that makes a whole number."""
    number = draw.choice(NUMBERS)
    size = number.bit_length() // 8 + 1
    return draw.choice(
        (
            b"\x8a" + bytes([min(size, 255)]) + number.to_bytes(256, "little", signed=True)[: min(size, 255)],
            b"I" + str(number % (1 << 64)).encode() + b"\n",
            b"K" + bytes([number % 256]),
            b"J" + struct.pack("<I", number % (1 << 32)),
        )
    )


def text(value: str) -> bytes:
    data = value.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(data)) + data


def instruction(draw: Random) -> bytes:
    """Any instruction."""
    kind = draw.randrange(6)
    if kind == 0:
        return integer(draw)
    if kind == 1:
        return text(draw.choice(TEXTS))
    if kind == 2:
        return b"c" + draw.choice(GLOBALS).replace(" ", "\n").encode() + b"\n"
    if kind == 3:
        return b"G" + struct.pack(">d", draw.choice(FLOATS))
    if kind == 4:
        return draw.choice((b"h", b"q")) + bytes([draw.randrange(40)])
    return draw.choice(
        [bytes([code]) for code in b"(01.2NQR]}ab)dlotesu\x81\x85\x86\x87\x88\x8f\x90\x91\x92\x93\x94"]
    )


def pickled(data: bytes, draw: Random) -> bytes:
    """A pickle with instructions dropped, repeated, moved or replaced; others behind it stay, or are next."""
    try:
        parts, rest = instructions(data)
    except Exception:
        return plain(data, draw)
    if rest and draw.random() < 0.5:
        return b"".join(parts) + pickled(rest, draw)
    for _ in range(draw.choice((1, 1, 2, 3, 8))):
        place = draw.randrange(len(parts))
        kind = draw.randrange(10)
        if kind == 0:
            del parts[place]
        elif kind == 1:
            parts.insert(place, parts[place])
        elif kind == 2:
            other = draw.randrange(len(parts))
            parts[place], parts[other] = parts[other], parts[place]
        elif kind == 3:
            parts.insert(place, instruction(draw))
        elif kind == 4:
            start = draw.randrange(len(parts))
            parts[place:place] = parts[start : start + draw.randrange(1, 30)]
        elif kind == 5:
            parts[place : place + 1] = [instruction(draw)] * draw.choice((1, 3, DEEP))
        else:
            swap_operand(parts, draw)
        if not parts:
            break
    return b"".join(parts) + rest


def swap_operand(parts: list[bytes], draw: Random) -> None:
    """Another number, text or global in place of one of its kind."""
    kinds = draw.choice((b"KMJIL\x8a", b"KMJIL\x8a", b"XU\x8cC", b"c", b"hj"))
    places = [place for place, part in enumerate(parts) if part[:1] in [bytes([k]) for k in kinds]]
    if not places:
        return
    place = draw.choice(places)
    if draw.random() < 0.4:
        parts[place] = parts[draw.choice(places)]
    elif kinds[:1] == b"K":
        parts[place] = integer(draw)
    elif kinds[:1] == b"X":
        parts[place] = text(draw.choice(TEXTS))
    elif kinds == b"c":
        parts[place] = b"c" + draw.choice(GLOBALS).replace(" ", "\n").encode() + b"\n"
    else:
        parts[place] = b"h" + bytes([draw.randrange(256)])


def archived(data: bytes, draw: Random) -> bytes:
    """An archive with another pickle, other storages, other names, order, packing, or directory."""
    if draw.random() < 0.25:
        start = data.rfind(b"PK\x01\x02")
        first = data.find(b"PK\x01\x02")
        place = draw.choice((first, start, data.rfind(b"PK\x05\x06"), data.rfind(b"PK\x06\x06")))
        if place < 0:
            return plain(data, draw)
        changed = bytearray(data)
        at = min(place + draw.randrange(4, 60), len(changed) - 1)
        size = draw.choice((1, 2, 4, 8))
        number = draw.choice(NUMBERS) % (1 << 8 * size)
        changed[at : at + size] = number.to_bytes(size, "little")
        return bytes(changed)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = [(name, archive.read(name)) for name in archive.namelist()]
    method = zipfile.ZIP_STORED
    for _ in range(draw.choice((1, 1, 2))):
        place = draw.randrange(len(entries))
        name, content = entries[place]
        kind = draw.randrange(9)
        if kind < 4:
            place = next((i for i, (each, _) in enumerate(entries) if each.endswith(".pkl")), place)
            name, content = entries[place]
            entries[place] = name, arrayed(content, draw) if name.endswith(".npy") else pickled(content, draw)
        elif kind == 4:
            del entries[place]
        elif kind == 5:
            entries.insert(
                draw.randrange(len(entries)), (draw.choice((name, name + "x", "x" + name)), content)
            )
        elif kind == 6:
            entries[place] = (
                name,
                draw.choice((b"", content[:-1], content + bytes(9), content * 2, bytes(1 << 20))),
            )
        elif kind == 7:
            draw.shuffle(entries)
        else:
            method = zipfile.ZIP_DEFLATED
        if not entries:
            break
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in entries:
            archive.writestr(zipfile.ZipInfo(name), content, method)  # dated 1980, whenever it is made
    return buffer.getvalue()


def arrayed(data: bytes, draw: Random) -> bytes:
    """An .npy file with another header or other numbers."""
    length = struct.unpack("<H", data[8:10])[0]
    header = data[10 : 10 + length].decode("latin-1")
    kind = draw.randrange(4)
    if kind == 0:
        return plain(data, draw)
    if kind == 1:
        header = plain(header.encode("latin-1"), draw).decode("latin-1")
    else:
        said = ast.literal_eval(header)
        key = draw.choice(sorted(said))
        said[key] = draw.choice(
            (
                any_value(draw),
                tuple(draw.choice(NUMBERS) for _ in range(draw.choice((1, 2, 3, 70)))),
                draw.choice(
                    ("<f4", ">f4", "<f2", "<f8", "|O", "<c8", "V4", "<f16", "<U9", [("a", "<f4")], "f4,f4")
                ),
            )
        )
        header = repr(said)
    if draw.random() < 0.8:
        header = header.ljust(length - 1)[: max(length - 1, 20)] + "\n"
    packed = header.encode("latin-1", "replace")
    body = data[10 + length :]
    if draw.random() < 0.2:
        body = draw.choice((body[:-4], body * 2, b"\xff" * len(body)))
    return data[:8] + struct.pack("<H", len(packed) % 65536) + packed + body


def tensors(data: bytes, draw: Random) -> bytes:
    """A safetensors file with another header, other metadata, or tensors of other shapes that fit again."""
    length = struct.unpack("<Q", data[:8])[0]
    header, body = json.loads(data[8 : 8 + length]), data[8 + length :]
    kind = draw.randrange(8)
    if kind == 0:
        return plain(data, draw)
    metadata = header.get("__metadata__", {})
    metadata.pop("modelspec.hash_sha256", None)
    if kind < 4 and metadata:
        key = draw.choice(sorted(metadata))
        metadata[key] = json_text(metadata[key], draw)
    elif kind == 4:
        header = json_value(header, draw)
    else:
        parts = {}
        for name, entry in sorted(header.items()):
            if name != "__metadata__":
                start, end = entry["data_offsets"]
                parts[name] = [entry["dtype"], list(entry["shape"]), body[start:end]]
        for _ in range(draw.choice((1, 1, 2, 4))):
            alter_tensor(parts, draw)
        header, body = {"__metadata__": metadata}, b""
        for name, (dtype, shape, numbers) in parts.items():
            end = len(body) + len(numbers)
            header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(body), end]}
            body += numbers
    packed = json.dumps(header).encode("utf-8", "surrogatepass")
    return struct.pack("<Q", len(packed)) + packed + body


def alter_tensor(parts: dict[str, list[Any]], draw: Random) -> None:
    name = draw.choice(sorted(parts))
    dtype, shape, numbers = parts[name]
    kind = draw.randrange(7)
    if kind == 0 and len(parts) > 1:
        del parts[name]
    elif kind == 1:
        other = draw.choice((*sorted(parts), *TEXTS, name.replace("b8", "b4096"), name + "x"))
        parts[other] = parts.pop(name)
    elif kind == 2:
        sides = [draw.choice((1, 2, 3, 8, 100, 4096)) for _ in range(draw.randrange(4))]
        count = 1
        for side in sides:
            count *= side
        size = {"F16": 2, "BF16": 2, "F32": 4, "F64": 8, "I64": 8, "U8": 1}[dtype]
        if count <= 1 << 18:
            parts[name] = [
                dtype,
                sides,
                (numbers * (count * size // max(len(numbers), 1) + 1))[: count * size],
            ]
    elif kind == 3:
        parts[name][1] = shape[::-1]
    elif kind == 4:
        other = draw.choice(("F16", "BF16", "F32", "I32", "U8", "BOOL", "F8_E4M3"))
        parts[name][0] = other
    elif kind == 5:
        value = struct.pack("<f", draw.choice((0.0, 1e-30, 3e38, float("inf"), float("nan"), -1.0)))
        parts[name][2] = value * (len(numbers) // 4) + numbers[: len(numbers) % 4]
    else:
        parts[draw.choice(TEXTS)] = [dtype, shape, numbers]


def chunked(data: bytes, draw: Random) -> bytes:
    """A PNG with chunks dropped, repeated, moved, or of other content; the latent in it changed."""
    chunks, place = [], 8
    while place < len(data):
        (length,) = struct.unpack(">I", data[place : place + 4])
        chunks.append((data[place + 4 : place + 8], data[place + 8 : place + 8 + length]))
        place += 12 + length
    index = draw.randrange(len(chunks))
    kind, content = chunks[index]
    choice = draw.randrange(9)
    if choice == 0:
        return plain(data, draw)
    if choice == 1:
        del chunks[index]
    elif choice == 2:
        chunks.insert(draw.randrange(len(chunks)), chunks[index])
    elif choice == 3:
        draw.shuffle(chunks)
    elif choice == 4:
        chunks[index] = kind, plain(content, draw)
    else:
        index = next((i for i, (each, _) in enumerate(chunks) if each == b"tEXt"), index)
        key, _, value = chunks[index][1].partition(b"\0")
        if choice == 5:
            value = draw.choice((value[: len(value) // 2], value + b"=", b"", plain(value, draw), value * 3))
        else:
            value = base64.b64encode(tensors(base64.b64decode(value), draw))
        form = draw.randrange(4)
        chunks[index] = (b"tEXt", key + b"\0" + value)
        if form == 0:
            chunks[index] = (b"zTXt", key + b"\0\0" + zlib.compress(draw.choice((value, bytes(1 << 24)))))
        elif form == 1:
            chunks[index] = (b"iTXt", key + b"\0\0\0\0\0" + value)
    packed = data[:8]
    for kind, content in chunks:
        check = zlib.crc32(kind + content) ^ (draw.random() < 0.03)
        packed += struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)
    return packed


def jsons(data: bytes, draw: Random) -> bytes:
    """A JSON file with a change."""
    if draw.random() < 0.1:
        return plain(data, draw)
    changed = data.decode("utf-8")
    for _ in range(draw.choice((1, 1, 2, 4))):
        changed = json_text(changed, draw)
    return changed.encode("utf-8", "surrogatepass")


MUTATIONS: dict[str, Callable[[bytes, Random], bytes]] = {
    "archive": archived,
    "array": arrayed,
    "json": jsons,
    "pickle": pickled,
    "png": chunked,
    "tensors": tensors,
}


def form_of(data: bytes) -> str:
    """Which of `MUTATIONS` fits a file."""
    for start, form in (
        (b"PK", "archive"),
        (b"\x93NUMPY", "array"),
        (b"\x89PNG", "png"),
        (b"\x80", "pickle"),
    ):
        if data.startswith(start):
            return form
    return "tensors" if data[8:9] == b"{" else "json"


def mutated(data: bytes, draw: Random) -> bytes:
    """A file with changes of its form, and at times of its bytes."""
    changed = MUTATIONS[form_of(data)](data, draw) if draw.random() < 0.9 else data
    return plain(changed, draw) if changed == data or draw.random() < 0.05 else changed
