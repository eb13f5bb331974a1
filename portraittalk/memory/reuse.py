"""Keeping the memory of frames in the process when they are freed.

The C library of Linux returns large blocks to the system, which clears them before it hands them out again, page by
page. Every chunk of frames pays for that: a tenth of mini's processor time. Kept blocks are used again at once, and the
peak does not grow, because chunks are of one size.
"""

import ctypes
import os
import platform

MMAP_THRESHOLD, TRIM_THRESHOLD = -3, -1  # parameters of glibc's mallopt
LARGEST_KEPT = 256 << 20  # bytes of a block
USERS_OWN = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES")  # variables that set the same


def keep_freed_memory() -> bool:
    """Let the C library keep freed blocks for the rest of the process; return whether it does.

    Only glibc can, and only where the user has set none of its own variables. For processes that are ours: the memory
    is then not available to other processes.
    """
    if platform.libc_ver()[0] != "glibc" or any(name in os.environ for name in USERS_OWN):
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(MMAP_THRESHOLD, LARGEST_KEPT)) and bool(mallopt(TRIM_THRESHOLD, 2**31 - 1))


def return_freed_memory() -> None:
    """Return what is freed to the system once, also where it is kept: between stages that need blocks of other sizes.

    What one stage leaves lies in pieces, into which blocks of the next may not fit: without this, the peak of a run
    depends on chance by 30 MB. Only glibc can.
    """
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)
