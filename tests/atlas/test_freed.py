"""What many threads have freed goes back to the system."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from resefa_core.workers import freed

BUSY = """
import random, sys, threading, time, torch
from resefa_core.workers import freed

def held():
    return int(open("/proc/self/status").read().split("VmRSS:")[1].split()[0]) / 1e3

def work(seed):
    numbers, kept = random.Random(seed), []
    for _ in range(300):
        kept.append(torch.ones(numbers.randrange(1 << 12, 1 << 19)))
        if len(kept) > 20:
            kept.pop(numbers.randrange(len(kept)))

torch.set_num_threads(1)
if not freed.keep_returning(0.2):
    sys.exit("no glibc")
start = held()
for turn in range(4):
    threads = [threading.Thread(target=work, args=(12 * turn + i,)) for i in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
until = time.monotonic() + 20
while held() - start > 15 and time.monotonic() < until:
    time.sleep(0.05)
print(held() - start)
"""


def test_what_threads_have_freed_goes_back() -> None:
    """Left alone, some 100 to 200 MB stay here."""
    done = subprocess.run(
        [sys.executable, "-c", BUSY],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    if "no glibc" in done.stderr:
        pytest.skip("needs glibc")
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) <= 15


def test_nothing_happens_without_glibc(monkeypatch: pytest.MonkeyPatch) -> None:
    class Other:
        def __init__(self, name: object) -> None:
            pass

    monkeypatch.setattr(freed.ctypes, "CDLL", Other)
    assert not freed.keep_returning()
