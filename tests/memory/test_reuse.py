import os
import platform
import subprocess
import sys

import pytest

# Prints the page faults of allocating and freeing 32 MB ten times, after a first time.
FAULTS = """
import ctypes, resource, sys
from portraittalk.memory.reuse import keep_freed_memory
print(keep_freed_memory() if sys.argv[1] == "keep" else None)
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
def use():
    block = libc.malloc(32 << 20)
    ctypes.memset(block, 1, 32 << 20)
    libc.free(block)
use()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    use()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str, **environment: str) -> list[str]:
    command = [sys.executable, "-c", FAULTS, how]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | environment)
    return done.stdout.split()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc returns blocks that can be kept")
def test_freed_blocks_are_used_again():
    kept, few = faults("keep")
    _, many = faults("leave")
    assert kept == "True"
    assert int(few) < 100 < int(many)


def test_the_users_own_settings_stand():
    assert faults("keep", MALLOC_TRIM_THRESHOLD_="100000")[0] == "False"


# Prints the MB that 64 MB in small blocks leave in the process, of which every tenth stays: kept, and then returned.
PIECES = """
import psutil, torch
from portraittalk.memory.reuse import keep_freed_memory, return_freed_memory
def held():
    return psutil.Process().memory_info().rss >> 20
keep_freed_memory()
before = held()
blocks = [torch.ones(1 << 14) for _ in range(1000)]
blocks = blocks[::10]
print(held() - before)
return_freed_memory()
print(held() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc keeps blocks that can be returned")
def test_freed_blocks_between_others_are_returned_when_it_is_said():
    done = subprocess.run([sys.executable, "-c", PIECES], capture_output=True, text=True, check=True)
    kept, left = map(int, done.stdout.split())
    assert kept > 50 and left < 25
