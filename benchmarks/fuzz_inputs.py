"""Read mutated files of every kind: each must be read, or be refused by an error for users, in little time and memory.

    python benchmarks/fuzz_inputs.py                          # 10,000 files, seed 0
    python benchmarks/fuzz_inputs.py --seed 7 --count 2000 --kinds png wav
    python benchmarks/fuzz_inputs.py --kinds mp4 --first 1234 --count 1 --keep findings
    python benchmarks/fuzz_inputs.py --first 4000             # go on with seed 0

Files are numbered; number and seed make a file, so that a finding can be made again. They are read in a worker process
that is started anew when it dies or takes more than 10 s of processor time. Findings are: another exception, a dead
worker, more time, and more than 1 GB of memory beyond what the pixels in the file's header take. Needs Linux.
"""

import argparse
import json
import logging
import os
import select
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from mutations import mutation
from PIL import Image
from sample_files import SUFFIXES

from portraittalk.arkit import ARKIT_NAMES
from portraittalk.config import SpeechConfig
from portraittalk.errors import PortraitTalkError
from portraittalk.media.audio import read_audio
from portraittalk.media.image import read_image
from portraittalk.media.reader import read_video
from portraittalk.media.video import write_video
from portraittalk.motion.keyframes import MotionEdit
from portraittalk.motion.track import MotionTrack, check_motion
from portraittalk.motion.transform import fit_to_speech
from portraittalk.speech.features import encode_speech
from portraittalk.tensor_files import read_shapes, read_tensors
from portraittalk.weights.load import load_networks

COUNT = 10_000
LIMIT_SECONDS, LIMIT_MB = 10.0, 1024
PATIENCE = 20  # times the limit that a file may take by the clock, on a machine that does something else
LONGEST_SENTENCE = 1000  # characters: some name tensors and paths
READ, REFUSED = "read", "refused"
STATUS = Path("/proc/self/status")


@dataclass(frozen=True)
class Outcome:
    """What became of one file. result: ``READ``, ``REFUSED``, or the name of a finding. detail: its error."""

    kind: str
    number: int
    result: str
    detail: str = ""
    seconds: float = 0.0
    megabytes: float = 0.0

    @property
    def fine(self) -> bool:
        return self.result in (READ, REFUSED)


def read_picture(path: Path, number: int) -> None:
    read_image(path, (2048, 32, None)[number % 3]).flattened()


def read_sound(path: Path, number: int) -> None:
    audio = read_audio(path, 0.1 * (number % 5 == 1), 0.2 if number % 3 == 1 else None)
    speech = encode_speech(audio, 25.0, SpeechConfig())
    if not speech.features.isfinite().all():
        raise ValueError("the features of the speech are not finite")
    if number % 4 == 0:  # the sound of a video
        with tempfile.TemporaryDirectory() as folder:
            frame = speech.features.new_full((1, 3, 32, 32), 0.5)
            write_video([frame], Path(folder, "talking.mp4"), 25.0, audio)


def read_clip(path: Path, number: int) -> None:
    video = read_video(path, 25.0 if number % 2 else None)
    for frame in video:
        if frame.ndim != 3:
            raise ValueError(f"a frame has the shape {tuple(frame.shape)}")
    if video.has_audio:
        read_sound(path, number)


def read_weights(path: Path, number: int) -> None:
    header, _ = read_shapes(path)
    read_tensors(path)
    if "portraittalk_config" in header:
        load_networks(path)


def read_motion(path: Path, number: int) -> None:
    track = MotionTrack.load(path)
    fit_to_speech(track, 50, 25.0)
    with tempfile.TemporaryDirectory() as folder:
        track.save(Path(folder, "motion.json"))
        MotionTrack.load(Path(folder, "motion.json"))


def read_motion_edit(path: Path, number: int) -> None:
    edit = MotionEdit.load(path)
    check_motion(edit.apply(MotionTrack.of_expression(torch.zeros(20, len(ARKIT_NAMES)), 25.0)))


READERS: dict[str, Callable[[Path, int], None]] = {
    "png": read_picture,
    "jpeg": read_picture,
    "wav": read_sound,
    "mp3": read_sound,
    "mp4": read_clip,
    "safetensors": read_weights,
    "motion": read_motion,
    "motion_edit": read_motion_edit,
}


def outcome(kind: str, seed: int, number: int, folder: Path) -> Outcome:
    """Make a mutated file in the folder and read it. The file is kept."""
    path = folder / f"{kind}-{seed}-{number}{SUFFIXES[kind]}"
    path.write_bytes(mutation(kind, seed, number))
    started, before = time.process_time(), _reset_peak()
    result, detail = READ, ""
    try:
        READERS[kind](path, number)
    except PortraitTalkError as error:
        result, detail = REFUSED, str(error)
        if "\n" in detail or len(detail) > LONGEST_SENTENCE:
            result = "an error of more than a sentence"
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        result = f"{type(error).__name__} in {Path(place.filename).name}, {place.name}"
        detail = f"{error}\n{traceback.format_exc()}"
    done = Outcome(kind, number, result, detail, time.process_time() - started, _peak_megabytes() - before)
    if done.fine and done.seconds > LIMIT_SECONDS:
        return replace(done, result="too slow")
    if done.fine and done.megabytes > LIMIT_MB + _pixels_megabytes(path):
        return replace(done, result="too much memory")
    return done


def _reset_peak() -> float:
    """Set the peak of the process's memory to what it takes now, and return that in MB."""
    if STATUS.exists():
        STATUS.with_name("clear_refs").write_text("5")
    return _peak_megabytes()


def _peak_megabytes() -> float:
    """Return the peak of the process's memory in MB; 0 where the system does not tell."""
    lines = STATUS.read_text().splitlines() if STATUS.exists() else []
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:")), 0.0)


def _pixels_megabytes(path: Path) -> float:
    """Return what a picture takes in memory: its pixels as they are decoded, and converted once."""
    try:
        with Image.open(path) as image:
            return 8 * image.width * image.height / 2**20
    except Exception:  # another kind of file, or one whose header cannot be read
        return 0.0


class Worker:
    """A process that reads files, started when it is needed."""

    def __init__(self, seed: int, folder: Path) -> None:
        self._seed, self._folder = seed, folder
        self._process: subprocess.Popen[bytes] | None = None

    def read(self, kind: str, number: int) -> Outcome:
        """Return the outcome of one file."""
        process = self._running()
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(f"{kind} {number}\n".encode())
        process.stdin.flush()
        started, cpu = time.monotonic(), _cpu_seconds(process.pid)
        while not select.select([process.stdout], [], [], 1.0)[0]:
            spent = _cpu_seconds(process.pid) - cpu
            if spent > LIMIT_SECONDS or time.monotonic() - started > PATIENCE * LIMIT_SECONDS:
                self.stop()
                return Outcome(kind, number, "hangs", seconds=spent)
        line = process.stdout.readline()
        if not line:
            status = process.wait()
            self._process = None
            return Outcome(kind, number, f"dead with status {status}")
        return Outcome(**json.loads(line))

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _running(self) -> "subprocess.Popen[bytes]":
        if self._process is None:
            command = [sys.executable, __file__, "--seed", str(self._seed), "--worker", str(self._folder)]
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
            assert self._process.stdout is not None
            self._process.stdout.readline()  # ready: imports are not counted
        return self._process


def work(seed: int, folder: Path) -> None:
    """Read the files whose kinds and numbers come on standard input, and write the outcomes to standard output."""
    logging.disable()
    _limit_memory(6)
    print("ready", flush=True)
    for line in sys.stdin:
        kind, number = line.split()
        print(json.dumps(asdict(outcome(kind, seed, int(number), folder))), flush=True)


def _limit_memory(gigabytes: float) -> None:
    """Let allocations fail that would endanger the machine."""
    import resource

    resource.setrlimit(resource.RLIMIT_DATA, (int(gigabytes * 2**30),) * 2)


def _cpu_seconds(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=COUNT, help="number of files, over all kinds")
    parser.add_argument("--first", type=int, default=0, help="number of the first file")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="+", choices=SUFFIXES, default=list(SUFFIXES))
    parser.add_argument("--keep", type=Path, help="folder for the files of findings")
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        work(arguments.seed, arguments.worker)
        return
    results: dict[str, Counter[str]] = {kind: Counter() for kind in arguments.kinds}
    findings: list[Outcome] = []
    slowest = largest = Outcome("", 0, READ)
    with tempfile.TemporaryDirectory() as folder:
        worker = Worker(arguments.seed, Path(folder))
        for number in range(arguments.first, arguments.first + arguments.count):
            done = worker.read(arguments.kinds[number % len(arguments.kinds)], number)
            results[done.kind]["finding" if not done.fine else done.result] += 1
            slowest, largest = max(slowest, done, key=_seconds), max(largest, done, key=_megabytes)
            (path,) = Path(folder).iterdir()
            if not done.fine:
                findings.append(done)
                print(f"{done.kind} {done.number}: {done.result}: {done.detail}", flush=True)
                if arguments.keep:
                    arguments.keep.mkdir(parents=True, exist_ok=True)
                    (arguments.keep / path.name).write_bytes(path.read_bytes())
            path.unlink()
        worker.stop()
    for kind, counts in results.items():
        print(f"{kind:12}" + "".join(f"{name} {counts[name]:6}   " for name in (READ, REFUSED, "finding")))
    print(
        f"slowest: {slowest.kind} {slowest.number}, {slowest.seconds:.2f} s; largest: {largest.kind} {largest.number}, "
        f"{largest.megabytes:.0f} MB"
    )
    for result, times in Counter(f"{done.kind}: {done.result}" for done in findings).most_common():
        print(f"{times:6} x {result}")
    sys.exit(bool(findings))


def _seconds(done: Outcome) -> float:
    return done.seconds


def _megabytes(done: Outcome) -> float:
    return done.megabytes


if __name__ == "__main__":
    main()
