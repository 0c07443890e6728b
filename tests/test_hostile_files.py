"""Files from strangers: whatever they hold, the typed error or an object that is whole."""

from __future__ import annotations

import base64
import binascii
import io
import json
import os
import pickle
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from models import tiny_stylegan2, two_directions
from PIL import Image
from torch import Tensor

from resefa_core import (
    CheckpointError,
    DirectionFileError,
    Directions,
    JacobianError,
    Latent,
    LatentError,
    Parts,
    PartsFileError,
    Region,
    ReSeFaError,
    StyleGAN2,
    compute_jacobian,
    find_parts,
    load_generator,
    load_jacobian,
)
from resefa_core.analysis import DenseJacobian, MatrixFreeJacobian, Subject
from resefa_core.directions import encode_thumbnail
from resefa_core.directions.sets import _check_consistent
from resefa_core.latents import ConfinedMove

fuzz = partial(
    settings,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
BOX = Region.from_box(0.25, 0.5, 0.5, 0.25)
HASH = "modelspec.hash_sha256"


@cache
def tiny() -> StyleGAN2:
    return tiny_stylegan2(4, channels=2)


def save_directions(file: Path) -> None:
    two_directions(BOX).save(file)


def save_latent(file: Path) -> None:
    codes = torch.ones(1, 2, 4)
    move = ConfinedMove(BOX, 0.5, codes=codes, styles=torch.ones(1, 6))
    Latent(codes, seed=(1,), z=torch.ones(1, 3), z_offset=torch.ones(1, 3), confined=(move,)).save(file)


def save_dense(file: Path) -> None:
    DenseJacobian(
        torch.ones(4, 3, 2, 2),
        Subject(
            space="w",
            layers=(0, 1),
            shape=(4,),
            latent=Latent(torch.ones(1, 2, 4), seed=(1,)),
            described={"architecture": "stylegan2", "resolution": 2, "fingerprint": "ab", "name": "tiny"},
            image_size=(2, 2),
        ),
    ).save(file)


def save_sketch(file: Path) -> None:
    compute_jacobian(tiny(), tiny().sample(1), "w", kind="matrix-free").save(file)


def save_generator(file: Path) -> None:
    safetensors.torch.save_file(tiny().state_dict(), file, {"arch": "stylegan2", "init_kwargs": "{}"})


def save_parts(file: Path) -> None:
    find_parts(compute_jacobian(tiny(), tiny().sample(1), "w"), 3, origin="one image").save(file)


def check_parts(found: Parts) -> None:
    assert found.centres.shape == (len(found.names), found.centres.shape[1], found.axes.shape[1])
    assert all(len(name) > 0 and name.isprintable() for name in found.names)
    again(found, Parts.load, found.save)
    with suppress(ReSeFaError):  # of another generator or space, as it may say
        found.regions(compute_jacobian(tiny(), tiny().sample(1), "w"))


def check_directions(found: Directions) -> None:
    _check_consistent(found)
    again(found, Directions.load, found.save)
    assert all(name.isprintable() for name in found.names)


def check_latent(found: Latent) -> None:
    again(found, Latent.load, found.save)


def check_dense(found: DenseJacobian) -> None:
    assert found.matrix.shape == (found.dimension, 3, found.height, found.width)
    assert found.matrix.dtype == torch.float32
    assert len(found.latent) == 1
    assert found.passes >= 0
    found.vjp(found.jvp(torch.ones(1, found.dimension)))
    again(found, load_jacobian, found.save)


def check_sketch(found: MatrixFreeJacobian) -> None:
    assert {name: t.shape[1:] for name, t in found.sketch.tensors().items()} == {
        "basis": (found.dimension,),
        "probe_latents": (found.dimension,),
        "basis_images": (3, found.height, found.width),
        "probe_images": (3, found.height, found.width),
    }
    assert found.vjp(found.jvp(torch.ones(1, found.dimension))).shape == (1, found.dimension)


def again(found: object, load: Callable[[Path], object], save: Callable[..., None]) -> None:
    """An object that came from a file can be written and read once more."""
    file = FOLDER[0] / "again.safetensors"
    save(file, overwrite=True)
    assert type(load(file)) is type(found)


def check_generator(found: StyleGAN2) -> None:
    assert found.state_dict().keys() == tiny().state_dict().keys()
    assert all(bool(tensor.isfinite().all()) for tensor in found.state_dict().values())
    assert found.synthesize(found.sample(0)).shape == (1, 3, 4, 4)


@dataclass(frozen=True)
class Kind:
    """A kind of file: how it is written and read, what it raises, and when what it gives is whole."""

    name: str
    save: Callable[[Path], None]
    load: Callable[[Path], Any]
    error: type[ReSeFaError]
    check: Callable[[Any], None]

    @property
    def valid(self) -> bytes:
        return written(self.save)

    def try_bytes(self, data: bytes) -> Any:
        """What becomes of these bytes as a file: None if they were refused as they should be."""
        file = FOLDER[0] / f"{self.name}.safetensors"
        file.write_bytes(data)
        return self.try_path(file)

    def try_path(self, file: Path) -> Any:
        try:
            found = self.load(file)
        except self.error as error:
            message = str(error)
        else:
            self.check(found)
            return found
        assert 0 < len(message) < 2000
        return None


@cache
def written(save: Callable[[Path], None]) -> bytes:
    file = FOLDER[0] / "written.safetensors"
    save(file)
    data = file.read_bytes()
    file.unlink()
    return data


KINDS = [
    Kind("directions", save_directions, Directions.load, DirectionFileError, check_directions),
    Kind("latent", save_latent, Latent.load, LatentError, check_latent),
    Kind("dense", save_dense, load_jacobian, JacobianError, check_dense),
    Kind("sketch", save_sketch, lambda f: load_jacobian(f, tiny()), JacobianError, check_sketch),
    Kind("parts", save_parts, Parts.load, PartsFileError, check_parts),
    Kind("generator", save_generator, load_generator, CheckpointError, check_generator),
]
FOLDER: list[Path] = []
every_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)


@pytest.fixture(autouse=True, scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One folder for all files, that are written without waiting for the disk."""
    FOLDER.append(tmp_path_factory.mktemp("hostile"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: None)
        yield
    FOLDER.clear()
    written.cache_clear()


def parts(data: bytes) -> tuple[dict[str, Any], bytes]:
    """A safetensors file's header and its body."""
    (length,) = struct.unpack("<Q", data[:8])
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def whole(header: object, body: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


def opened(kind: Kind) -> tuple[dict[str, Tensor], dict[str, str]]:
    """A valid file's tensors and metadata, without its hash: what is altered next is not given away."""
    metadata = parts(kind.valid)[0]["__metadata__"]
    metadata.pop(HASH, None)
    return safetensors.torch.load(kind.valid), metadata


def closed(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    return safetensors.torch.save({n: t.contiguous() for n, t in tensors.items()}, dict(metadata))


def with_metadata(kind: Kind, **changes: str | None) -> bytes:
    tensors, metadata = opened(kind)
    for key, text in changes.items():
        metadata.pop(key, None)
        if text is not None:
            metadata[key] = text
    return closed(tensors, metadata)


@every_kind
def test_the_files_that_are_damaged_below_are_good_ones(kind: Kind) -> None:
    assert kind.try_bytes(kind.valid) is not None
    assert kind.try_bytes(closed(*opened(kind))) is not None


@every_kind
@fuzz(max_examples=30)
@given(share=st.floats(0.0, 1.0, exclude_max=True))
def test_a_file_that_was_cut_off_anywhere_is_refused(kind: Kind, share: float) -> None:
    assert kind.try_bytes(kind.valid[: int(share * len(kind.valid))]) is None


@every_kind
def test_a_file_with_something_behind_it_is_refused(kind: Kind) -> None:
    assert kind.try_bytes(kind.valid + b"\0") is None


@every_kind
@fuzz(max_examples=80)
@given(
    places=st.lists(
        st.tuples(st.floats(0.0, 1.0, exclude_max=True), st.integers(0, 7)), min_size=1, max_size=3
    ),
    in_header=st.booleans(),
    hashed=st.booleans(),
)
def test_flipped_bits_are_refused_or_leave_a_whole_object(
    kind: Kind, places: list[tuple[float, int]], in_header: bool, hashed: bool
) -> None:
    data = bytearray(kind.valid if hashed else closed(*opened(kind)))
    end = 8 + struct.unpack("<Q", data[:8])[0] if in_header else len(data)
    for share, bit in places:
        data[int(share * end)] ^= 1 << bit
    kind.try_bytes(bytes(data))


@pytest.mark.parametrize("kind", KINDS[:5], ids=lambda kind: kind.name)
@fuzz(max_examples=25)
@given(share=st.floats(0.0, 1.0, exclude_max=True), bit=st.integers(0, 7))
def test_flipped_bits_of_tensors_do_not_pass_the_hash(kind: Kind, share: float, bit: int) -> None:
    data = bytearray(kind.valid)
    start = 8 + struct.unpack("<Q", data[:8])[0]
    data[start + int(share * (len(data) - start))] ^= 1 << bit
    assert kind.try_bytes(bytes(data)) is None


@every_kind
@fuzz(max_examples=60)
@given(data=st.binary(max_size=200), framed=st.booleans())
def test_random_bytes_are_refused(kind: Kind, data: bytes, framed: bool) -> None:
    assert kind.try_bytes(whole(data) if framed else data) is None


numbers = st.one_of(
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.sampled_from([0, 1, 2, 4, -1, 10**400, 2**31, 2**63, float("inf"), float("nan")]),
)
anything = st.recursive(
    st.one_of(
        st.none(), st.booleans(), numbers, st.text(max_size=8), st.sampled_from(["a\0b", "\ud800", "\u202e"])
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)


def altered(value: Any, draw: Callable[[Any], Any]) -> Any:
    """A JSON value with something in it, at any depth, in place of what was there."""
    if isinstance(value, list) and value and draw(st.booleans()):
        index = draw(st.integers(0, len(value) - 1))
        return [*value[:index], altered(value[index], draw), *value[index + 1 :]]
    if isinstance(value, dict) and value and draw(st.integers(0, 3)):
        key = draw(st.sampled_from(sorted(value)))
        if not draw(st.integers(0, 4)):
            return {k: v for k, v in value.items() if k != key}
        return {**value, key: altered(value[key], draw)}
    return draw(anything)


def read_json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


@every_kind
@fuzz(max_examples=120)
@given(data=st.data())
def test_metadata_of_other_json_are_refused_or_leave_a_whole_object(kind: Kind, data: st.DataObject) -> None:
    tensors, metadata = opened(kind)
    key = data.draw(st.sampled_from(sorted(metadata)))
    plain = data.draw(st.integers(0, 9)) == 0
    value = altered(read_json(metadata[key]), data.draw)
    text = data.draw(st.text(st.characters(codec="utf-8"), max_size=20)) if plain else json.dumps(value)
    kind.try_bytes(closed(tensors, {**metadata, key: text}))


@every_kind
@fuzz(max_examples=60)
@given(data=st.data())
def test_headers_of_other_json_are_refused_or_leave_a_whole_object(kind: Kind, data: st.DataObject) -> None:
    header, body = parts(closed(*opened(kind)))
    kind.try_bytes(whole(altered(header, data.draw), body))


def reshaped(tensor: Tensor, draw: Callable[[Any], Any]) -> Tensor:
    shapes = [(), (1,), (1, 1), (tensor.numel(),), (*tensor.shape, 1), (1, *tensor.shape), tensor.shape[::-1]]
    shape = draw(st.sampled_from(shapes))
    count = int(np.prod(shape))
    return tensor.flatten().repeat(1 + count // max(1, tensor.numel()))[:count].reshape(shape)


@every_kind
@fuzz(max_examples=80)
@given(data=st.data())
def test_other_tensors_are_refused_or_leave_a_whole_object(kind: Kind, data: st.DataObject) -> None:
    tensors, metadata = opened(kind)
    name = data.draw(st.sampled_from(sorted(tensors)))
    other = data.draw(st.sampled_from([*sorted(tensors), "", "extra", "component_02", "a\0b", "label", "z"]))
    change = data.draw(st.sampled_from(["drop", "add", "rename", "type", "shape", "swap", "zero", "empty"]))
    tensor = tensors[name]
    if change in ("drop", "rename"):
        del tensors[name]
    if change in ("add", "rename"):
        tensors[other] = tensor.clone()
    if change == "type":
        types = [torch.float16, torch.float64, torch.int64, torch.uint8, torch.int32, torch.bool]
        tensors[name] = tensor.to(data.draw(st.sampled_from(types)))
    if change == "shape":
        tensors[name] = reshaped(tensor, data.draw)
    if change == "swap" and other in tensors:
        tensors[name], tensors[other] = tensors[other].clone(), tensor
    if change == "zero":
        tensors[name] = torch.zeros_like(tensor)
    if change == "empty":
        tensors[name] = tensor.flatten()[:0]
    kind.try_bytes(closed(tensors, metadata))


@every_kind
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_values_that_are_not_finite_are_refused_in_every_tensor(kind: Kind, value: float) -> None:
    tensors, metadata = opened(kind)
    for name, tensor in tensors.items():
        if tensor.is_floating_point():
            spoilt = tensor.clone()
            spoilt.view(-1)[-1] = value
            assert kind.try_bytes(closed({**tensors, name: spoilt}, metadata)) is None


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("w.npy", b"x")
    return buffer.getvalue()


def npy() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.ones((1, 8), dtype=np.float32))
    return buffer.getvalue()


FORMATS = {
    "nothing": b"",
    "eight zeros": bytes(8),
    "text": b"Dear reader,\n" * 50,
    "png": encode_thumbnail(Image.new("RGB", (8, 8))),
    "zip": zipped(),
    "npy": npy(),
    "pickle": pickle.dumps({"w": [1.0] * 100}),
    "empty safetensors": whole({}),
    "other safetensors": closed({"weight": torch.ones(3)}, {}),
}


@every_kind
@pytest.mark.parametrize("data", FORMATS.values(), ids=FORMATS.keys())
def test_other_formats_are_refused(kind: Kind, data: bytes) -> None:
    assert kind.try_bytes(data) is None


@every_kind
def test_files_of_the_other_kinds_are_refused(kind: Kind) -> None:
    for other in KINDS:
        if other.save is not kind.save and (kind.error, other.error) != (JacobianError, JacobianError):
            assert kind.try_bytes(other.valid) is None


@every_kind
@pytest.mark.parametrize("suffix", [".safetensors", ".npz", ".npy", ".pt"])
def test_paths_to_no_regular_file_are_refused_at_once(kind: Kind, suffix: str, tmp_path: Path) -> None:
    (tmp_path / f"folder{suffix}").mkdir()
    paths = ["missing", "a\0b", "x" * 300, "folder", "folder/missing", "a\ud800"]
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / f"pipe{suffix}")
        (tmp_path / f"loop{suffix}").symlink_to(tmp_path / f"loop{suffix}")
        (tmp_path / f"endless{suffix}").symlink_to("/dev/zero")
        paths += ["pipe", "loop", "endless"]
    for path in paths:
        assert kind.try_path(tmp_path / f"{path}{suffix}") is None
        if kind.name == "directions":
            with pytest.raises(DirectionFileError):
                Directions.from_npy(tmp_path / f"{path}{suffix}", "w", (0,))


@pytest.mark.parametrize("kind", KINDS[:2], ids=lambda kind: kind.name)
def test_files_over_64_mb_are_refused_by_their_size(kind: Kind, tmp_path: Path) -> None:
    for suffix in (".safetensors", ".npz", ".npy", ".pt"):
        with (tmp_path / f"large{suffix}").open("wb") as stream:
            stream.truncate(1 << 40)
        with pytest.raises(kind.error, match="more than the 64 MB"):
            kind.load(tmp_path / f"large{suffix}")


def entry(kind: str = "F32", shape: object = (1,), offsets: object = (0, 4)) -> dict[str, object]:
    return {"dtype": kind, "shape": shape, "data_offsets": offsets}


def joined(*texts: str) -> bytes:
    return ("{" + ",".join(texts) + "}").encode()


ONE = json.dumps(entry())
HEADERS = {
    "a length beyond the file": struct.pack("<Q", 1 << 63) + b"{}",
    "a length beyond 1 MB": whole(b"{}" + b" " * (1 << 20)),
    "no object": whole([1]),
    "not utf-8": whole(b'{"\xff": 1}'),
    "utf-16": whole('{"a": 1}'.encode("utf-16")),
    "a byte order mark": whole(b"\xef\xbb\xbf{}"),
    "deep nesting": whole(b'{"a":' * 100_000),
    "deep lists": whole(b'{"a":' + b"[" * 500_000),
    "a name twice": whole(joined(f'"a": {ONE}', f'"a": {ONE}'), bytes(4)),
    "metadata twice": whole(joined('"__metadata__": {}', '"__metadata__": {}', f'"a": {ONE}'), bytes(4)),
    "a metadata key twice": whole(joined('"__metadata__": {"a": "1", "a": "2"}', f'"b": {ONE}'), bytes(4)),
    "metadata that are no text": whole(
        {"__metadata__": {"resefa.format_version": 1}, "a": entry()}, bytes(4)
    ),
    "metadata that are a list": whole({"__metadata__": [], "a": entry()}, bytes(4)),
    "overlapping tensors": whole({"a": entry(), "b": entry()}, bytes(4)),
    "tensors with a gap": whole({"a": entry(), "b": entry(offsets=(8, 12))}, bytes(12)),
    "offsets backwards": whole({"a": entry(offsets=(4, 0))}, bytes(4)),
    "offsets beyond the file": whole({"a": entry(shape=(1 << 40,), offsets=(0, 1 << 42))}, bytes(4)),
    "a product beyond 64 bits": whole({"a": entry(shape=(1 << 33, 1 << 33), offsets=(0, 4))}, bytes(4)),
    "a number beyond 64 bits": whole({"a": entry(shape=(1 << 70,))}, bytes(4)),
    "a number of 5000 digits": whole(joined('"a": ' + "9" * 5000)),
    "a negative side": whole({"a": entry(shape=(-1, -1))}, bytes(4)),
    "a fraction": whole({"a": entry(shape=(1.0,))}, bytes(4)),
    "true as a side": whole({"a": entry(shape=(True,))}, bytes(4)),
    "NaN as a side": whole({"a": entry(shape=(float("nan"),))}, bytes(4)),
    "text as a shape": whole({"a": entry(shape="11")}, bytes(4)),
    "no text as a type": whole({"a": {**entry(), "dtype": ["F32"]}}, bytes(4)),
    "an unknown type": whole({"a": entry("F4")}, bytes(4)),
    "empty tensors of endless sides": whole({"a": entry(shape=(0, 1 << 62), offsets=(0, 0))}),
    "a name with NUL": whole({"a\0": entry()}, bytes(4)),
    "a name with a surrogate": whole(joined(f'"\\ud800": {ONE}'), bytes(4)),
    "15,000 tensors": whole({f"{i:x}": entry("U8", (), (i, i + 1)) for i in range(15_000)}, bytes(15_000)),
    "15,000 empty tensors": whole({f"{i:x}": entry("U8", (0,), (0, 0)) for i in range(15_000)}),
    "an entry with more in it": whole({"a": {**entry(), "code": "import os"}}, bytes(4)),
}


@every_kind
@pytest.mark.parametrize("data", HEADERS.values(), ids=HEADERS.keys())
def test_headers_that_lie_are_refused(kind: Kind, data: bytes) -> None:
    assert kind.try_bytes(data) is None


TEXTS = {
    "deep lists": "[" * 100_000 + "]" * 100_000,
    "deep objects": '{"not":' * 50_000 + "1" + "}" * 50_000,
    "5000 digits": "9" * 5000,
    "300 digits": "9" * 300,
    "NaN": "NaN",
    "Infinity": "[Infinity]",
    "1e400": "1e400",
    "null": "null",
    "true": "true",
    "text": '"abc"',
    "an object": "{}",
    "a list": "[]",
    "lists in a list": "[[], [[]]]",
    "nothing": "",
    "no JSON": "{'a': 1}",
}


@pytest.mark.parametrize("kind", KINDS[:5], ids=lambda kind: kind.name)
@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
def test_metadata_of_every_wrong_form_are_refused_or_leave_a_whole_object(kind: Kind, text: str) -> None:
    for key in opened(kind)[1]:
        if not key.startswith("modelspec."):
            kind.try_bytes(with_metadata(kind, **{key: text}))


@pytest.mark.parametrize("kind", KINDS[:5], ids=lambda kind: kind.name)
def test_metadata_of_ours_that_are_missing_are_refused_or_have_a_default(kind: Kind) -> None:
    for key in opened(kind)[1]:
        found = kind.try_bytes(with_metadata(kind, **{key: None}))
        if key in ("resefa.format_version", "resefa.latent_version", "resefa.jacobian_version"):
            assert found is None


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("resefa.names", json.dumps(["a\nb", "c"])),
        ("resefa.names", json.dumps(["\u202ebox", "c"])),
        ("resefa.names", json.dumps(["\x1b[2J", "c"])),
        ("resefa.names", json.dumps(["\ud800", "c"])),
        ("resefa.names", json.dumps(["a" * 201, "c"])),
        ("resefa.names", json.dumps("ab")),
        ("resefa.names", json.dumps(["", "c"])),
        ("resefa.names", json.dumps([1, 2])),
        ("resefa.layers", "[0, 1000000]"),
        ("resefa.layers", "[2, 0]"),
        ("resefa.layer_sizes", "[4, 4294967295]"),
        ("resefa.layer_sizes", json.dumps([1] * 2000)),
        ("resefa.strength_range", "[-1e300, 1e300]"),
        ("resefa.strength_range", "[3, -3]"),
        ("resefa.generator", '{"resolution": "8"}'),
        ("resefa.generator", '{"architecture": 1}'),
        ("resefa.seeds", "[1e3]"),
        ("resefa.num_samples", "0"),
        ("resefa.format_version", "2"),
        ("component_order", '["component_01", "component_00"]'),
        ("component_order", '["component_00", "component_00"]'),
        ("num_components", "3"),
        ("w_dim", "512"),
    ],
)
def test_direction_files_that_contradict_themselves_are_refused(key: str, text: str) -> None:
    assert KINDS[0].try_bytes(with_metadata(KINDS[0], **{key: text})) is None


def test_texts_of_a_direction_file_lose_what_could_deceive_a_reader() -> None:
    nasty = "a\x00\x1b[31m\u202e\u2066b\u2028\x9f\nc" + "d" * 10_000
    fields = ("title", "description", "author", "license", "tags", "date")
    found = KINDS[0].try_bytes(with_metadata(KINDS[0], **{f"modelspec.{field}": nasty for field in fields}))
    for text in (found.title, found.description, found.author, found.license, found.date, found.tags[0]):
        assert text.startswith("a[31mb\ncd")
        assert len(text) <= 4096


def test_what_a_direction_file_says_of_its_generator_is_kept_short_and_plain() -> None:
    said = {
        "name": "a\u202eb" * 500,
        "note": [1],
        "size": 1e400,
        "extra\0": True,
        **{str(i): i for i in range(99)},
    }
    found = KINDS[0].try_bytes(with_metadata(KINDS[0], **{"resefa.generator": json.dumps(said)}))
    assert found.generator["name"] == ("ab" * 500)[:200]
    assert found.generator["extra"] is True
    assert len(found.generator) <= 32
    assert not {"note", "size"} & set(found.generator)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", binascii.crc32(kind + data))


def png(width: int, height: int, *chunks: bytes) -> bytes:
    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(bytes(1 << 20)))
    return start + b"".join(chunks) + pixels + chunk(b"IEND", b"")


BOMBS = {
    "a picture of 30,000 by 30,000": png(30_000, 30_000),
    "a picture of 2 by 2 billion": png(2**31 - 1, 2**31 - 1),
    "a picture of no size": png(0, 0),
    "text that unpacks to 64 MB": png(
        4, 4, chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(64 << 20))), chunk(b"iCCP", b"a\0\0" + b"x" * 9)
    ),
    "a picture cut off": png(64, 64)[:80],
    "no picture": b"<svg onload='alert(1)'/>",
    "a gif": b"GIF89a\1\0\1\0\x80\0\0\0\0\0\xff\xff\xff,\0\0\0\0\1\0\1\0\0\2\2D\1\0;",
}


@pytest.mark.parametrize("data", BOMBS.values(), ids=BOMBS.keys())
@pytest.mark.filterwarnings("error")
def test_thumbnails_that_are_bombs_are_left_out_or_made_small(data: bytes) -> None:
    encoded = "data:image/png;base64," + base64.b64encode(data).decode()
    found = KINDS[0].try_bytes(with_metadata(KINDS[0], **{"modelspec.thumbnail": encoded}))
    assert found.thumbnail is None or len(found.thumbnail) < 1000


@pytest.mark.parametrize(
    "uri", ["", "x", "data:image/png;base64,", "data:image/png;base64,%%%", "data:text/html,x"]
)
def test_thumbnails_that_are_no_pictures_are_left_out(uri: str) -> None:
    found = KINDS[0].try_bytes(with_metadata(KINDS[0], **{"modelspec.thumbnail": uri}))
    assert found.thumbnail is None


@fuzz(max_examples=60)
@given(places=st.lists(st.tuples(st.integers(8, 400), st.integers(0, 255)), min_size=1, max_size=6))
def test_damaged_thumbnails_are_left_out_or_decoded(places: list[tuple[int, int]]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    data = bytearray(encode_thumbnail(Image.fromarray(pixels)))
    for place, value in places:
        data[place] = value
    encoded = "data:image/png;base64," + base64.b64encode(data).decode()
    assert KINDS[0].try_bytes(with_metadata(KINDS[0], **{"modelspec.thumbnail": encoded})) is not None


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("kind", "sparse"),
        ("kind", None),
        ("space", "q"),
        ("space", "w+"),
        ("space", []),
        ("layers", []),
        ("layers", [1, 0]),
        ("layers", [0, 1000]),
        ("layers", [float("inf")]),
        ("layers", "01"),
        ("shape", [2, 2]),
        ("shape", [4.5]),
        ("shape", [-4]),
        ("shape", [1 << 62, 1 << 62]),
        ("image", [2]),
        ("image", [2, 2, 2]),
        ("image", [float("nan"), 2]),
        ("layer_sizes", [1 << 70]),
        ("layer_sizes", "4"),
        ("generator", []),
        ("generator", {}),
        ("generator", {"fingerprint": 1}),
        ("passes", float("inf")),
        ("passes", -1),
        ("passes", 10**400),
        ("passes", "3"),
    ],
    ids=lambda value: str(value)[:20],
)
@pytest.mark.parametrize("kind", KINDS[2:4], ids=lambda kind: kind.name)
def test_jacobian_files_that_contradict_themselves_are_refused(kind: Kind, key: str, value: object) -> None:
    header = json.loads(opened(kind)[1]["resefa.jacobian"])
    for text in (
        json.dumps({**header, key: value}),
        json.dumps({k: v for k, v in header.items() if k != key}),
    ):
        assert kind.try_bytes(with_metadata(kind, **{"resefa.jacobian": text})) is None


@pytest.mark.parametrize("value", ["1", [1, 2], [-1], {}, float("nan"), "1.0"])
@pytest.mark.parametrize("key", ["resefa.seeds", "resefa.truncation", "resefa.confined"])
@pytest.mark.parametrize("kind", KINDS[2:4], ids=lambda kind: kind.name)
def test_jacobian_files_whose_latent_is_damaged_are_refused(kind: Kind, key: str, value: object) -> None:
    assert kind.try_bytes(with_metadata(kind, **{key: json.dumps(value)})) is None


@pytest.mark.parametrize(
    "region",
    [
        {"box": [0, 0, 1, 1]},
        {"box": [0, 0, 10**400, 1]},
        {"box": [0, 0, float("nan"), 0.5]},
        {"box": "abcd"},
        {"union": [{"box": [0, 0, 0.5, 0.5]}] * 200},
        {"feather": 1e400, "of": {"box": [0, 0, 0.5, 0.5]}},
        {"mask": True},
    ],
    ids=lambda region: str(region)[:40],
)
def test_regions_that_are_none_are_refused(region: object) -> None:
    empty = torch.zeros(8, 8, dtype=torch.uint8)
    for kind, key, name, value in (
        (KINDS[0], "resefa.region", "region_mask", region),
        (KINDS[1], "resefa.confined", "confined_00_mask", [[0.5, region]]),
    ):
        tensors, metadata = opened(kind)
        metadata[key] = json.dumps(value)
        assert kind.try_bytes(closed({**tensors, name: empty}, metadata)) is None


def test_a_generator_that_would_need_far_more_memory_than_its_file_is_refused() -> None:
    tensors, metadata = opened(KINDS[-1])
    wide = {**tensors, "synthesis.b4.conv1.weight": torch.zeros(1 << 16, 1, 1, 1)}
    assert KINDS[-1].try_bytes(closed(wide, metadata)) is None
    large = {**tensors, "synthesis.b4096.torgb.weight": torch.zeros(3, 1, 1, 1)}
    large["synthesis.b4096.conv1.weight"] = torch.zeros(1 << 14, 1, 1, 1)
    assert KINDS[-1].try_bytes(closed(large, metadata)) is None


@pytest.mark.parametrize(
    "arguments",
    [
        "[]",
        "1",
        "{",
        "NaN",
        "[" * 100_000,
        '{"mapping_kwargs": []}',
        '{"mapping_kwargs": {"lr_multiplier": %s}}',
    ],
)
def test_generator_arguments_of_wrong_forms_are_refused(arguments: str) -> None:
    values = ["null", "NaN", "1e400", "0", "-1", '"0.01"', "[]", "9" * 400] if "%s" in arguments else [""]
    for value in values:
        text = arguments.replace("%s", value)
        assert KINDS[-1].try_bytes(with_metadata(KINDS[-1], init_kwargs=text)) is None


def test_a_generator_of_other_architecture_is_refused_by_its_name() -> None:
    data = with_metadata(KINDS[-1], arch="stylegan2-mirrored")
    (FOLDER[0] / "other.safetensors").write_bytes(data)
    with pytest.raises(CheckpointError, match="'stylegan2-mirrored' is not supported"):
        load_generator(FOLDER[0] / "other.safetensors")


def test_a_moves_region_in_a_latent_file_may_be_painted() -> None:
    tensors, metadata = opened(KINDS[1])
    metadata["resefa.confined"] = json.dumps([[1.0, {"mask": True}]])
    tensors["confined_00_mask"] = BOX.stored_mask()
    found = KINDS[1].try_bytes(closed(tensors, metadata))
    assert replace(found, confined=()).seed == (1,)
    torch.testing.assert_close(found.confined[0].region.mask(256, 256), BOX.mask(256, 256))


@pytest.mark.parametrize("suffix", [".npz", ".npy", ".pt"])
@fuzz(max_examples=60)
@given(data=st.data())
def test_damaged_files_of_projectors_are_refused_or_hold_codes(suffix: str, data: st.DataObject) -> None:
    file = FOLDER[0] / f"codes{suffix}"
    codes = torch.randn(4, 8, generator=torch.Generator().manual_seed(0))
    if suffix == ".npz":
        np.savez_compressed(file, w=codes.numpy())
    elif suffix == ".npy":
        np.save(file, codes.numpy())
    else:
        torch.save(codes, file)
    damaged = bytearray(file.read_bytes())
    for share, value in data.draw(
        st.lists(st.tuples(st.floats(0.0, 1.0, exclude_max=True), st.integers(0, 255)), max_size=4)
    ):
        damaged[int(share * len(damaged))] = value
    file.write_bytes(damaged[: data.draw(st.one_of(st.just(len(damaged)), st.integers(0, len(damaged))))])
    KINDS[1].try_path(file)
