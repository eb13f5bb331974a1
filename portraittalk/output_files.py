"""Writing files safely: a file appears under its name when it is complete, and no other file is touched.

Each file is written in a temporary folder beside its place, whose name nobody can guess, and moved at the end. Readers
see the old file or the whole new one, and of two writers the last one to finish wins. After an error or an interruption
the temporary folder is removed. ``check_file`` and ``check_outputs`` find out before long work begins whether a file
could be written at its end.
"""

import errno
import glob
import os
import secrets
import shutil
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from .errors import OutputError

# Beginning of the temporary name taken from the final one, in characters: 4 bytes each at most, of about 255 allowed.
_LONGEST_BEGINNING = 24
_SIGNS = 8  # bytes of the random part of the temporary name
_REASONS = {
    errno.ENOSPC: "the disk is full: free some space or choose another place",
    errno.EDQUOT: "the disk quota is used up: free some space or choose another place",
    errno.EFBIG: "the file is larger than is allowed here: choose another place",
    errno.EACCES: "the permission is missing: choose another place",
    errno.EPERM: "the permission is missing: choose another place",
    errno.EROFS: "the file system is read-only: choose another place",
    errno.ENAMETOOLONG: "the name is too long: shorten it",
    errno.EISDIR: "it is a folder: add a file name",
    errno.ENOTDIR: "a part of the path is a file, not a folder: choose another place",
    errno.ELOOP: "it is a link that leads to itself: choose another place",
}

_unfinished: set[Path] = set()


@contextmanager
def atomic_file(path: str | Path) -> Iterator[Path]:
    """Yield the absolute path of an empty temporary file, which replaces ``path`` if the block succeeds.

    It has the same name, in another folder; the block may write more files beside it, which are removed. A link is
    followed, and an existing file keeps its permissions. Errors of the block pass unchanged. Raises OutputError if the
    file cannot be created or moved.
    """
    place = Path(os.path.realpath(path))
    check_parent(Path(path))
    with _temporary_folder(path, place, private=True) as folder:
        part = folder / place.name
        with explained(path):
            mode = _create_file(part)
        yield part
        with explained(path):
            part.chmod(mode)  # some writers replace the file by one that only its owner can read
            _flush(part)
            _replace(part, place)
            _flush_folder(place.parent)


@contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """Yield a temporary folder whose files appear in the folder ``path`` if the block succeeds; else it is removed.

    If the folder exists, files of the same names are replaced and others stay. Errors of the block pass unchanged.
    Raises OutputError if the files cannot be put in place.
    """
    place = Path(os.path.realpath(path))
    # Inside an existing folder, which may be the root of another disk.
    with _temporary_folder(path, place / "frames" if place.is_dir() else place) as part:
        yield part
        with explained(path):
            for file in part.iterdir():
                _flush(file)
            if part.parent == place or not _renamed(part, place):
                _move_files(part, place)
            _flush_folder(place.parent)


@contextmanager
def temporary_folder(parent: Path) -> Iterator[Path]:
    """Yield a temporary folder in ``parent``, which is removed at the end of the block."""
    with _temporary_folder(parent, parent / "temporary", private=True) as folder:
        yield folder


def remove_unfinished() -> None:
    """Remove the temporary folders of this process, which has to end at once."""
    for folder in list(_unfinished):
        _remove(folder)


def remove_abandoned(path: Path) -> None:
    """Remove the temporary folders beside ``path`` in which a process was writing it when it was killed.

    If such a process lives after all, it fails to put its file in place.
    """
    place = Path(os.path.realpath(path))
    beginning, signs = glob.escape(place.name[:_LONGEST_BEGINNING]), "[0-9a-f]" * 2 * _SIGNS
    for folder in place.parent.glob(f"{beginning}.{signs}.part"):
        if (folder / place.name).exists():  # other files may begin with the same letters
            _remove(folder)


def write_text(path: str | Path, text: str | Iterable[str]) -> None:
    """Write a text file in UTF-8, given whole or in parts, atomically. Raises OutputError if it cannot be written."""
    with atomic_file(path) as part, explained(path), part.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines([text] if isinstance(text, str) else text)


def write_bytes(path: str | Path, data: bytes) -> None:
    """Write a file atomically. Raises OutputError if it cannot be written."""
    with atomic_file(path) as part, explained(path):
        part.write_bytes(data)


def append_line(path: Path, line: str) -> None:
    """Add a line to a text file and flush it to the disk. Raises OutputError if it cannot be written.

    A crash may cut the last line of the file; the next one then begins behind a line end of its own.
    """
    with explained(path), path.open("ab+") as file:
        cut = b""
        if file.tell():
            file.seek(-1, os.SEEK_END)
            cut = b"" if file.read(1) == b"\n" else b"\n"
        file.write(cut + line.encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def reserve(path: Path, size: int) -> None:
    """Create a file of ``size`` bytes that has its room on the disk. Raises OutputError if there is too little.

    Only where the system has ``os.posix_fallocate``.
    """
    check_space(path, size)
    with explained(path), path.open("xb") as file:
        os.posix_fallocate(file.fileno(), 0, size)


def make_folder(path: Path) -> None:
    """Create a folder and its parents unless it exists. Raises OutputError if files cannot be written into it."""
    with explained(path):
        if path.exists() and not path.is_dir():
            raise OutputError(f"{path} is a file, but a folder is needed here: choose another place.")
        path.mkdir(parents=True, exist_ok=True)
        _try_to_write(path, path.resolve() / "file")


def check_file(path: str | Path, needed: int = 0) -> None:
    """Raise OutputError if a file could not be written. needed: its size in bytes, if that is known."""
    path = Path(path)
    with explained(path):
        place = Path(os.path.realpath(path))
        check_parent(path)
        with suppress(FileNotFoundError):
            mode = place.stat().st_mode
            if stat.S_ISDIR(mode):
                raise OutputError(f"{path} cannot be written because it is a folder: add a file name.")
            if not stat.S_ISREG(mode):
                raise OutputError(f"{path} cannot be written because it is a device, not a file: choose another name.")
            if not os.access(place, os.W_OK):
                raise OutputError(f"{path} is write-protected: choose another name or remove the protection.")
        _try_to_write(path, place)
    check_space(path, needed)


def check_parent(path: Path) -> None:
    """Raise OutputError if the folder of a file does not exist."""
    folder = Path(os.path.realpath(path)).parent
    if not folder.is_dir():
        what = "is a file, not a folder" if folder.exists() else "does not exist"
        raise OutputError(f"{path} cannot be written, because {folder} {what}: create the folder, or choose another.")


def check_space(path: str | Path, needed: int) -> None:
    """Raise OutputError if the disk of ``path``, which may not exist yet, has less than ``needed`` bytes free."""
    free = free_space(path)
    if needed > free:
        raise OutputError(
            f"{path} needs about {_shown(needed)}, but only {_shown(free)} are free on its disk: free some space or "
            "choose another place."
        )


def free_space(path: str | Path) -> int:
    """Return the free bytes on the disk of ``path``, which may not exist yet."""
    folder = Path(os.path.realpath(path))
    while not folder.is_dir():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def check_outputs(outputs: Iterable[Path], inputs: Iterable[Path]) -> None:
    """Raise OutputError if an output is also an input, or two outputs are one file, whatever their paths look like."""
    read = {identity(path): path for path in inputs}
    written: dict[tuple[object, ...], Path] = {}
    for path in outputs:
        key = identity(path)
        if key in read:
            same = "" if path == read[key] else f" (it is the same file as {read[key]})"
            raise OutputError(
                f"{path} is an input, which would be overwritten{same}: choose another name for the output."
            )
        if key in written:
            same = "twice" if path == written[key] else f"and is the same file as {written[key]}"
            raise OutputError(f"{path} would be written {same}: choose different names.")
        written[key] = path


def check_names(names: Mapping[Path, str]) -> None:
    """Raise OutputError if the results of two sources (path -> name of its result) would have one name."""
    taken: dict[str, Path] = {}
    for path, name in names.items():
        if name in taken:
            raise OutputError(f"{taken[name]} and {path} would both be written as {name}: rename one of them.")
        taken[name] = path


def identity(path: Path) -> tuple[object, ...]:
    """Return a key that is the same for all paths of one file: links and other spellings; it need not exist."""
    place = os.path.realpath(path)
    try:
        status = os.stat(place)
        return status.st_dev, status.st_ino
    except OSError:
        folder, name = os.path.split(place)
    try:
        status = os.stat(folder)
        return status.st_dev, status.st_ino, os.path.normcase(name)
    except OSError:
        return (os.path.normcase(place),)


@contextmanager
def explained(path: str | Path) -> Iterator[None]:
    """Convert errors of the operating system in the block to an OutputError about ``path``."""
    try:
        yield
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {reason(error)}.") from error


def reason(error: OSError) -> str:
    """Return why a file could not be written, and what to do."""
    known = _REASONS.get(error.errno or 0)
    return known or f"{(error.strerror or str(error) or 'unknown error').rstrip('.')}; choose another place"


@contextmanager
def _temporary_folder(path: str | Path, place: Path, private: bool = False) -> Iterator[Path]:
    """Create a folder of a random name beside ``place``, and remove it at the end of the block if it is left.

    path: how an error message names the output. private: closed to other users.
    """
    folder = place.parent / f"{place.name[:_LONGEST_BEGINNING]}.{secrets.token_hex(_SIGNS)}.part"
    _unfinished.add(folder)  # before it exists, because a signal may end the process at any time
    try:
        with explained(path):
            folder.mkdir(0o700 if private else 0o777)
    except OutputError:
        _unfinished.discard(folder)  # not created: what has this name is not ours
        raise
    try:
        yield folder
    finally:
        _remove(folder)


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    _unfinished.discard(folder)


def _create_file(path: Path) -> int:
    """Create an empty file and return its permissions."""
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    try:
        return stat.S_IMODE(os.fstat(descriptor).st_mode)
    finally:
        os.close(descriptor)


def _try_to_write(path: str | Path, place: Path) -> None:
    with _temporary_folder(path, place, private=True) as folder, explained(path):
        _create_file(folder / place.name)


def _flush(file: Path) -> None:
    """Write a file to the disk, so that it is whole after a power failure; errors of network disks show here."""
    descriptor = os.open(file, os.O_RDWR)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):  # file systems that cannot do it
            raise
    finally:
        os.close(descriptor)


def _flush_folder(folder: Path) -> None:
    """Write the names in a folder to the disk, where the system can do that for folders."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _replace(part: Path, place: Path) -> None:
    with suppress(FileNotFoundError):
        part.chmod(stat.S_IMODE(place.stat().st_mode))
    os.replace(part, place)


def _renamed(part: Path, place: Path) -> bool:
    """Rename the folder; return False if a folder of that name has appeared in the meantime."""
    try:
        part.rename(place)
    except OSError:
        if place.is_dir():
            return False
        raise
    return True


def _move_files(part: Path, place: Path) -> None:
    files = sorted(part.iterdir())
    for file in files:
        if (place / file.name).is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    for file in files:
        _replace(file, place / file.name)


def _shown(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"
