"""Two thousand hostile checkpoints: nothing runs, memory and time stay bounded, the error says why.

An audit hook watches what the interpreter does while a file is loaded. All payloads are seeded.
"""

from __future__ import annotations

import io
import pickle
import random
import resource
import struct
import tempfile
import time
import zipfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import checkpoint_files as layouts
import pytest
import torch
from watching import watched

from resefa_core import CheckpointError, StyleGAN2, load_generator
from resefa_core.checkpoints.weights import Lazy, Weights
from resefa_core.files.calls import MAX_STEPS
from resefa_core.files.described import Storage, StoredArray, StoredTensor, StoredType
from resefa_core.files.unpickling import read_pickle

SECONDS, MEGABYTES = 4.0, 400


class Tally:
    """Loads one file after another and keeps the count."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "hostile.pkl"
        self.refused = self.whole = 0
        self.memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def load(self, data: bytes, may_be_whole: bool = False) -> str:
        self.file.write_bytes(data)
        start = time.process_time()
        given, done = watched(self.file, load_generator)
        assert done == [], f"{data[:80]!r}"
        assert time.process_time() - start < SECONDS, f"{data[:80]!r}"
        if may_be_whole and isinstance(given, StyleGAN2):
            assert all(bool(t.isfinite().all()) for t in given.state_dict().values())
            assert given.synthesize(given.sample(0)).shape == (1, 3, 8, 8)
            self.whole += 1
            return ""
        assert type(given) is CheckpointError, f"{given!r} of {data[:80]!r}"
        assert str(self.file) in str(given)
        assert len(str(given)) < 2000
        self.refused += 1
        return str(given)

    def check_memory(self) -> None:
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - self.memory
        assert grown < MEGABYTES << 10, f"{grown >> 10} MB"


@pytest.fixture(scope="module")
def warm(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What is imported on first use has been."""
    file = tmp_path_factory.mktemp("warm") / "good"
    for data in valid().values():
        file.write_bytes(data)
        generator = load_generator(file)
        generator.synthesize(generator.sample(0))


@pytest.fixture
def tally(warm: None, tmp_path: Path) -> Iterator[Tally]:
    counted = Tally(tmp_path)
    yield counted
    counted.check_memory()


@cache
def valid() -> dict[str, bytes]:
    """A good file of every layout."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, write in layouts.LAYOUTS.items():
            write(Path(folder) / "valid", layouts.tiny())
            found[name] = (Path(folder) / "valid").read_bytes()
    return found


def test_the_watch_sees_what_a_plain_unpickler_does(tmp_path: Path) -> None:
    file = tmp_path / "x.pkl"
    for data in (
        b"cbuiltins\neval\n(V1+1\ntR.",
        b"cos\ngetcwd\n(tR.",
        call("exec", "pass", module="builtins"),
    ):
        file.write_bytes(data)
        _, done = watched(file, lambda f: pickle.loads(f.read_bytes()))
        assert done
    _, done = watched(file, lambda f: (f.parent / "y").write_text("x"))
    assert done


def test_the_files_that_are_damaged_below_are_good_ones(tally: Tally) -> None:
    for name, data in valid().items():
        tally.load(data, may_be_whole=True)
        assert tally.refused == 0, name


def text(value: str) -> bytes:
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def call(name: str, *arguments: str, module: str, how: str = "R", protocol: int = 2) -> bytes:
    """A pickle that calls a global, by one of the ways that pickle has."""
    return b"\x80" + bytes([protocol]) + called(name, *arguments, module=module, how=how) + b"."


def called(name: str, *arguments: str, module: str, how: str = "R") -> bytes:
    given = b"".join(text(argument) for argument in arguments)
    function = f"c{module}\n{name}\n".encode()
    if how == "stack":
        function = text(module) + text(name) + b"\x93"
    return {
        "R": function + b"(" + given + b"tR",
        "stack": function + b"(" + given + b"tR",
        "new": function + b"(" + given + b"t\x81",
        "new_ex": function + b"(" + given + b"t}\x92",
        "inst": b"(" + given + f"i{module}\n{name}\n".encode(),
        "obj": b"(" + function + given + b"o",
        "build": function + b"(" + given + b"tR}" + text("__setstate__") + function + b"sb",
        "slots": function + b"N}" + text("__class__") + text("x") + b"s\x86b",
    }[how]


WAYS = ("R", "stack", "new", "new_ex", "inst", "obj", "build", "slots")
TARGETS = [
    ("os", "system", "touch hacked"),
    ("posix", "system", "touch hacked"),
    ("builtins", "eval", "__import__('os').system('touch hacked')"),
    ("builtins", "exec", "open('hacked', 'w')"),
    ("builtins", "__import__", "os"),
    ("builtins", "getattr", "os", "system"),
    ("builtins", "open", "hacked", "w"),
    ("__builtin__", "eval", "1"),
    ("subprocess", "Popen", "touch hacked"),
    ("subprocess", "check_output", "id"),
    ("importlib", "import_module", "antigravity"),
    ("runpy", "run_path", "hacked.py"),
    ("pickle", "loads", "cos\nsystem\n(S'touch hacked'\ntR."),
    ("torch", "load", "hacked.pt"),
    ("torch.hub", "load", "a/b", "c"),
    ("torch.serialization", "load", "hacked.pt"),
    ("torch.storage", "_load_from_bytes", "cos\nsystem\n(S'touch hacked'\ntR."),
    ("torch._utils", "_rebuild_tensor_v2", "storage"),
    ("torch._utils", "_rebuild_parameter", "x", "y"),
    ("torch.jit", "load", "hacked.pt"),
    ("numpy", "load", "hacked.npy"),
    ("numpy", "fromfile", "hacked"),
    ("numpy.core.multiarray", "_reconstruct", "numpy.ndarray"),
    ("numpy._core.multiarray", "scalar", "f4", "1234"),
    ("functools", "partial", "os.system"),
    ("operator", "attrgetter", "system"),
    ("operator", "methodcaller", "system", "id"),
    ("types", "FunctionType", "code"),
    ("types", "CodeType", "code"),
    ("copyreg", "_reconstructor", "object"),
    ("collections", "OrderedDict", "pairs"),
    ("torch_utils.persistence", "_reconstruct_persistent_obj", "meta"),
    ("dnnlib.tflib.network", "Network", "state"),
    ("dnnlib.util", "open_url", "http://127.0.0.1:9/hacked"),
    ("resefa_core.checkpoints.unpickling", "_BUILDERS", "x"),
    ("shutil", "rmtree", "."),
    ("socket", "create_connection", "127.0.0.1"),
    ("ctypes", "CDLL", "libc.so.6"),
    ("sys", "exit", "1"),
    ("webbrowser", "open", "http://127.0.0.1:9"),
]


def zipped(
    pickled: bytes, storages: dict[str, bytes] | None = None, method: int = zipfile.ZIP_STORED
) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        archive.writestr("archive/data.pkl", pickled)
        archive.writestr("archive/byteorder", "little")
        for name, data in (storages or {}).items():
            archive.writestr(f"archive/data/{name}", data)
    return buffer.getvalue()


def legacy(pickled: bytes, keys: bytes = b"\x80\x02].") -> bytes:
    """A file in PyTorch's older format around a pickle."""
    magic = pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2)
    return magic + pickle.dumps({"little_endian": True, "type_sizes": {}}, 2) + pickled + keys


def short_bytes(data: bytes) -> bytes:
    return b"B" + struct.pack("<I", len(data)) + data


def places(body: bytes) -> dict[str, bytes]:
    """Where an evil expression can stand: alone, in containers, in what a generator depends on."""

    def whole(inner: bytes) -> bytes:
        return b"\x80\x04" + inner + b"."

    meta = b"}" + text("class_name") + text("Generator") + b"s" + text("state") + body + b"s"
    persistent = b"ctorch_utils.persistence\n_reconstruct_persistent_obj\n(" + meta + b"tR"
    modules = b"}" + text("_modules") + b"}" + text("synthesis") + body + b"ss"
    inside = (
        b"ctorch_utils.persistence\n_reconstruct_persistent_obj\n(}"
        + text("class_name")
        + text("Generator")
        + b"s"
        + text("state")
        + modules
        + b"stR"
    )
    nested = b"ctorch.storage\n_load_from_bytes\n(" + short_bytes(legacy(whole(body))) + b"tR"
    network = b"(NNcdnnlib.tflib.network\nNetwork\n)\x81}" + text("variables") + body + b"sbt"
    return {
        "alone": whole(body),
        "entry": whole(b"}" + text("G_ema") + body + b"s"),
        "key": whole(b"}" + body + b"Ns"),
        "zip": zipped(whole(b"}" + text("generator_smooth") + body + b"s")),
        "legacy": legacy(whole(b"}" + text("g_ema") + body + b"s")),
        "state": whole(b"}" + text("G_ema") + persistent + b"s"),
        "module": whole(b"}" + text("G_ema") + inside + b"s"),
        "nested": whole(b"}" + text("G_ema") + nested + b"s"),
        "storage": whole(b"ctorch._utils\n_rebuild_tensor_v2\n(" + nested + body + body + body + b"tR"),
        "network": whole(network),
        "array": whole(
            b"cnumpy.core.multiarray\n_reconstruct\n)R(K\x01" + body + body + b"I00\n" + body + b"tb"
        ),
        "persistent id": zipped(whole(body + b"Q")),
    }


def test_calls_of_anything_anywhere_are_inert(tally: Tally, monkeypatch: pytest.MonkeyPatch) -> None:
    """Forty globals, eight ways to call them, in three of twelve places each: 960 files."""
    monkeypatch.chdir(tally.file.parent)
    choose = random.Random(1)
    for module, name, *arguments in TARGETS:
        for way in WAYS:
            body = called(name, *arguments, module=module, how=way)
            for place in choose.sample(sorted(places(body)), 3):
                tally.load(places(body)[place])
    assert tally.refused == 960
    assert [file.name for file in tally.file.parent.iterdir() if "hacked" in file.name] == []


def test_chains_of_attributes_are_inert(tally: Tally) -> None:
    chain = b"cbuiltins\ngetattr\n"
    for depth in range(1, 21):
        body = b"cos\n__dict__\n"
        for _ in range(depth):
            body = chain + b"(" + body + text("system") + b"tR"
        for data in places(body + b"(" + text("touch hacked") + b"tR").values():
            tally.load(data)
    assert tally.refused == 240


def test_mutations_of_good_files_are_refused_or_leave_a_whole_generator(tally: Tally) -> None:
    """Flips, cuts, repeats and splices, mostly where the instructions are: 770 files."""
    choose = random.Random(2)
    files = list(valid().values())
    for data in files:
        interesting = [i for i, byte in enumerate(data) if byte in b"(Rbc\x93\x81qhtu}]Q"]
        for turn in range(110):
            damaged = bytearray(data)
            for _ in range(choose.choice((1, 1, 2, 4))):
                place = choose.choice(interesting) if turn % 2 else choose.randrange(len(damaged))
                place = min(place, len(damaged) - 1)
                kind = choose.randrange(6)
                if kind == 0:
                    damaged[place] ^= 1 << choose.randrange(8)
                elif kind == 1:
                    damaged[place] = choose.randrange(256)
                elif kind == 2:
                    del damaged[place : place + choose.randrange(1, 40)]
                elif kind == 3:
                    damaged[place:place] = damaged[place : place + choose.randrange(1, 40)]
                elif kind == 4:
                    other = choose.choice(files)
                    start = choose.randrange(len(other))
                    damaged[place : place + 20] = other[start : start + choose.randrange(1, 60)]
                elif place > 64:
                    del damaged[place:]
            tally.load(bytes(damaged), may_be_whole=True)
    assert tally.refused + tally.whole == 110 * len(files) == 770
    assert tally.refused > 300


def tensor(shape: str, strides: str, offset: str = "K\x00", count: int = 4) -> bytes:
    """A zip whose mean code is described by the given pickled shape, strides and offset."""
    storage = b"((" + text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu")
    storage += b"J" + struct.pack("<i", count) + b"tQ"
    body = b"ctorch._utils\n_rebuild_tensor_v2\n" + storage + offset.encode("latin-1")
    body += shape.encode("latin-1") + strides.encode("latin-1") + b"\x89}tR"
    names = ("mapping.dense0.weight", "synthesis.early_layer.const", "synthesis.layer0.weight", "w_avg")
    state = b"}(" + b"".join(text(name) + body for name in names) + b"u"
    root = b"\x80\x02}" + text("generator_smooth") + state + b"s."
    return zipped(root, {"0": bytes(4 * count)})


LONG = "\x8a\x08" + "\x00" * 5 + "\x7f\x00\x00"
DEEP = 100_000
BOMBS: dict[str, bytes] = {
    "a huge shape": tensor(f"({LONG}{LONG}t", f"({LONG}K\x01t"),
    "a huge shape without strides": tensor(f"({LONG}{LONG}t", "(K\x00K\x00t"),
    "an expanded scalar": tensor("(M\xff\xffM\xff\xfft", "(K\x00K\x00t"),
    "a stride beyond the end": tensor("(K\x02t", "(M\xff\xfft"),
    "an offset beyond the end": tensor("(K\x02t", "(K\x01t", "M\xff\xff"),
    "a negative stride": tensor("(K\x02t", "(J\xff\xff\xff\xfft"),
    "a negative offset": tensor("(K\x02t", "(K\x01t", "J\xff\xff\xff\xff"),
    "a negative size": tensor("(J\xff\xff\xff\xfft", "(K\x01t"),
    "a size that is a boolean": tensor("(\x88t", "(K\x01t"),
    "a hundred dimensions": tensor("(" + "K\x01" * 100 + "t", "(" + "K\x01" * 100 + "t"),
    "a shape that is itself": tensor("]\x94h\x00a", "]"),
    "more instructions than are accepted": b"\x80\x04]" + b"N0" * (MAX_STEPS // 2) + b".",
    "lists in lists": b"\x80\x04]" + b"]" * DEEP + b"a" * DEEP + b".",
    "tuples in tuples": b"\x80\x04N" + b"\x85" * DEEP + b".",
    "calls of calls": b"\x80\x04cos\nsystem\n" + b")R" * DEEP + b".",
    "marks": b"\x80\x04" + b"(" * DEEP + b".",
    "doublings": b"\x80\x04N" + b"2\x86" * DEEP + b".",
    "doublings as a key": b"\x80\x04}N" + b"2\x86" * 200 + b"Ns.",
    "doublings as arguments": b"\x80\x04cos\nsystem\nN" + b"2\x86" * 200 + b"R.",
    "colliding keys": b"\x80\x04}("
    + b"".join(b"\x8a\x0b" + (i * ((1 << 61) - 1)).to_bytes(11, "little") + b"N" for i in range(50_000))
    + b"u.",
    "one list taken for ever": b"\x80\x04]("
    + b"K\x01K\x02\x86" * 50_000
    + b"e\x94ccollections\nOrderedDict\n\x940"
    + b"h\x01h\x00\x85R0" * 10_000
    + b".",
    "a dictionary in itself": b"\x80\x04}\x94" + text("G_ema") + b"h\x00s.",
    "a list in itself": b"\x80\x04]\x94h\x00a.",
    "a memo of four thousand million": b"\x80\x04Nr\xff\xff\xff\xff.",
    "a memo beyond that": b"\x80\x04Np99999999999999999999\n.",
    "bytes that are not there": b"\x80\x04\x8e" + struct.pack("<Q", 1 << 62) + b".",
    "bytes of negative length": b"\x80\x04T\xff\xff\xff\xff.",
    "text that is not there": b"\x80\x04\x8d" + struct.pack("<Q", 1 << 62) + b".",
    "a frame that is not there": b"\x80\x04\x95" + struct.pack("<Q", 1 << 62) + b"N.",
    "a whole number of a megabyte": b"\x80\x04\x8b" + struct.pack("<i", 1 << 20) + bytes(1 << 20) + b".",
    "digits": b"\x80\x04I" + b"9" * 60_000 + b"\n.",
    "a line without an end": b"\x80\x04c" + b"a" * 300_000,
    "too much text": b"\x80\x04" + (text("a" * (1 << 20)) + b"0") * 17 + b"N.",
    "extensions": b"\x80\x04\x82\x01.",
    "buffers outside": b"\x80\x05\x97.",
    "a protocol to come": b"\x80\x09N.",
    "nothing on the stack": b"\x80\x04.",
    "no mark": b"\x80\x04Nt.",
    "a state for a name": b"\x80\x04cos\nsystem\n}b.",
    "an item of a name": b"\x80\x04cos\nsystem\nK\x01K\x02s.",
    "a compressed archive": zipped(
        b"\x80\x02" + b"N0" * 9 + b"N.", {"0": bytes(1 << 24)}, zipfile.ZIP_DEFLATED
    ),
    "an archive in the middle": zipped(b"\x80\x02N.")[:-30],
    "an archive without an end": zipped(b"\x80\x02N.") + bytes(1 << 17),
    "two pickles": zipped(b"\x80\x02N.").replace(b"archive/byteorder", b"archiv2/data.pkl\x00"),
    "no pickle": b"PK\x05\x06" + bytes(18),
    "a storage that is not there": tensor("(K\x02t", "(K\x01t").replace(b"data/0", b"data/1"),
    "a storage of a type that is not": tensor("(K\x02t", "(K\x01t").replace(b"FloatStorage", b"EvilStorages"),
    "an older file without storages": legacy(b"\x80\x02N.", b"\x80\x02]" + text("0") + b"a."),
    "an older file cut off": legacy(b"\x80\x02N.")[:-8],
}


def directory_of(count: int) -> bytes:
    """An archive that says it has a great many entries."""
    return b"PK\x03\x04" + bytes(60) + b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, count, count, 0, 64, 0)


def nested(depth: int) -> bytes:
    """Files in files, each in a storage that is read from bytes."""
    data = b"\x80\x04N."
    for _ in range(depth):
        inner = legacy(data)
        data = b"\x80\x04ctorch.storage\n_load_from_bytes\n(" + short_bytes(inner) + b"tR."
    return data


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused_quickly(name: str, tally: Tally) -> None:
    tally.load(BOMBS[name])
    tally.load(zipped(BOMBS[name]))


def test_files_in_files_are_read_to_a_fixed_depth(tally: Tally) -> None:
    for depth in range(1, 30):
        said = tally.load(nested(depth))
        assert ("nested" in said) == (depth > 2)


def test_archives_of_too_many_entries_are_refused(tally: Tally) -> None:
    for count in (1, 100, 20_001, 65_535):
        tally.load(directory_of(count))


def test_tails_are_cut_anywhere(tally: Tally) -> None:
    for data in valid().values():
        for share in range(10):
            tally.load(data[: 1 + len(data) * share // 10])


def test_a_module_that_contains_itself_is_refused(tally: Tally) -> None:
    network = b"\x80\x04}" + text("G_ema") + b"ctorch_utils.persistence\n_reconstruct_persistent_obj\n}\x94("
    network += (
        text("class_name") + text("Generator") + text("state") + b"}" + text("_modules") + b"}\x94ss0h\x00"
    )
    network = network.replace(b"ss0h\x00", b"su\x85R\x94h\x01" + text("synthesis") + b"h\x02s0s.")
    assert "nested too deeply" in tally.load(network)


def test_names_from_files_are_shortened_and_printable(tally: Tally) -> None:
    odd = "\u202e\x1b[31m" + "x" * 5000
    for data in (
        call("system", module="os" * 3000),
        b"\x80\x04}" + text(odd) + b"Ns.",
        b"\x80\x04}" + text("generator_smooth") + b"}" + text(odd) + b"Nss.",
        b"\x80\x04" + text(odd) + b".",
    ):
        said = tally.load(data)
        assert said.isprintable()
        assert len(said) < 1500


def test_random_instructions_are_refused(tally: Tally) -> None:
    """Pickles of instructions that fit each other just enough to get far: 300 files."""
    choose = random.Random(3)
    operations = [
        b"N",
        b"]",
        b"}",
        b")",
        b"(",
        b"t",
        b"\x85",
        b"\x86",
        b"R",
        b"b",
        b"0",
        b"2",
        b"\x94",
        b"h\x00",
    ]
    operations += [
        b"K\x01",
        text("a"),
        b"cos\nsystem\n",
        b"s",
        b"a",
        b"e",
        b"u",
        b"\x81",
        b"\x8f",
        b"\x90",
        b"Q",
    ]
    operations += [
        b"ctorch._utils\n_rebuild_tensor_v2\n",
        b"cnumpy\ndtype\n",
        b"C\x01a",
        b"\x93",
        b"1",
        b"o",
        b"d",
    ]
    for turn in range(300):
        data = b"\x80\x04" + b"".join(choose.choices(operations, k=choose.randrange(3, 60))) + b"."
        tally.load((data, zipped(data), legacy(data))[turn % 3])


def test_the_data_of_a_pickle_are_what_python_reads() -> None:
    """Plain data mean here what they mean to Python."""
    shared = ["x", 2.5]
    value = {
        "a": (1, -(2**40), None, True, b"bytes", "\u00e9\U0001f600"),
        "b": {1, 2},
        3: [shared, shared, {}],
    }
    for protocol in range(6):
        data = pickle.dumps(value, protocol)
        found, end = read_pickle(memoryview(data))
        assert end == len(data)
        if protocol > 2:
            assert found == value
            assert isinstance(found, dict)
            assert found[3][0] is found[3][1]
        assert torch.Size([2]) == read_pickle(memoryview(pickle.dumps(torch.Size([2]), 4)))[0]


def doubled(levels: int) -> bytes:
    """A list of the same list twice, of the same list twice, ...: 2 ** levels ends when written out."""
    body = b"]q\x000"
    for level in range(levels):
        body += b"]" + 2 * (b"h" + bytes([level]) + b"a") + b"q" + bytes([level + 1]) + b"0"
    return body + b"h" + bytes([levels])


def persistent(name: bytes) -> bytes:
    """NVIDIA's layout, its class name being any value."""
    return (
        b"\x80\x02}" + text("G_ema") + b"ctorch_utils.persistence\n_reconstruct_persistent_obj\n}("
        + text("class_name") + name + text("state") + b"}u\x85Rs."
    )  # fmt: skip


@pytest.mark.parametrize("name", [doubled(60), b")" + b"\x85" * 100_000], ids=["wide", "deep"])
def test_what_a_file_says_is_never_written_out_whole(name: bytes, tally: Tally) -> None:
    tally.load(persistent(name))


def test_keys_that_can_be_made_to_collide_are_refused() -> None:
    for key in (b"(K\x01K\x02t", b"(K\x01)t", b"(G" + bytes(8) + b"t"):
        with pytest.raises(ValueError, match="a key is a tuple"):
            read_pickle(memoryview(b"\x80\x02}" + key + b"Ns."))
    assert read_pickle(memoryview(b"\x80\x02}(" + text("a") + b"NtNs."))[0] == {("a", None): None}


def test_calls_with_many_arguments_and_types_with_long_names_are_refused() -> None:
    many = b"\x80\x02cnumpy\ndtype\n(" + 17 * b"K\x01" + b"tR."
    long = b"\x80\x02cnumpy\ndtype\n" + text("<" + "f" * 40) + b"\x85R."
    for data, words in ((many, "17 arguments"), (long, "long name")):
        with pytest.raises(ValueError, match=words):
            read_pickle(memoryview(data))


def test_tensors_are_checked_before_anything_is_made_of_them() -> None:
    storage = Storage(torch.float32, 4, memoryview(bytearray(16)))
    Lazy.of(StoredTensor(storage, 0, (2, 2), (2, 1), torch.float32), "fits")
    for shape, strides, offset in (
        ((2, 3), (3, 1), 0),
        ((4,), (2,), 0),
        ((4,), (1,), 1),
        ((1 << 20, 9), (0, 0), 0),
    ):
        with pytest.raises(ValueError, match="does not fit"):
            Lazy.of(StoredTensor(storage, offset, shape, strides, torch.float32), "does not")
    with pytest.raises(ValueError, match="does not fit its 16 bytes"):
        Lazy.of(StoredArray((5,), StoredType("f4"), False, memoryview(bytes(16))), "does not")


def test_many_tensors_of_the_same_bytes_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "small.pkl"
    file.write_bytes(bytes(1000))
    shared = Lazy((100,), torch.float32, lambda: torch.zeros(100), 400)
    weights = Weights(file, "layout", "stylegan2", {}, {str(index): shared for index in range(6)})
    with pytest.raises(CheckpointError, match="claim 2400 bytes of a file of 1000"):
        weights.outline()


def test_a_shared_dictionary_of_parameters_is_counted_each_time(tally: Tally) -> None:
    parameters = b"}(" + b"".join(text(f"p{index}") + b"N" for index in range(600)) + b"u"
    child = b"ctorch.nn\nModule\n)R}(" + text("_modules") + b"}" + text("_parameters") + b"h\x64ub"
    modules = b"}(" + b"".join(text(f"m{index}") + child for index in range(10)) + b"u"
    network = (
        b"\x80\x02" + parameters + b"q\x640}" + text("G_ema")
        + b"ctorch_utils.persistence\n_reconstruct_persistent_obj\n}("
        + text("class_name") + text("Generator") + text("state") + b"}" + text("_modules") + modules
        + b"su\x85Rs."
    )  # fmt: skip
    assert "more than 4096 parameters" in tally.load(network)
