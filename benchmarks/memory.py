"""Peak memory and speed of the command line for several speech lengths: long ones must not need more memory.

    python benchmarks/memory.py PORTRAIT SPEECH [--seconds 10 60] [further options of `portraittalk animate`]

Each length runs in its own process; the speech is repeated to the required length.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
import wave
from pathlib import Path

from portraittalk.media.audio import read_audio


def write_speech(source: Path, seconds: float, path: Path) -> None:
    """Write the sound of ``source``, repeated and cut to a length, as a 16-bit mono WAV file."""
    sound = read_audio(source)
    samples = round(seconds * sound.sample_rate)
    mono = sound.mono().repeat(-(-samples // sound.samples))[:samples]
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sound.sample_rate)
        file.writeframes((mono.clamp(-1, 1) * 32767).short().numpy().tobytes())


def measure(portrait: Path, speech: Path, out: Path, options: list[str]) -> tuple[float, float]:
    """Return the peak memory in MB and the wall time in seconds of one run."""
    command = [sys.executable, "-m", "portraittalk", "animate", portrait, "--audio", speech, "--out", out]
    started = time.perf_counter()
    process = subprocess.Popen([*command, *options])
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        sys.exit(f"The run failed with status {status}.")
    return usage.ru_maxrss / 1024, time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("portrait", type=Path)
    parser.add_argument("speech", type=Path)
    parser.add_argument("--seconds", type=float, nargs="+", default=[10.0, 60.0])
    arguments, options = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as folder:
        for seconds in arguments.seconds:
            speech = Path(folder) / f"speech_{seconds:g}.wav"
            write_speech(arguments.speech, seconds, speech)
            memory, took = measure(arguments.portrait, speech, Path(folder) / "out.mp4", options)
            print(f"{seconds:6g} s: peak memory {memory:.0f} MB, {took:.1f} s, {took / seconds:.2f} s per second")


if __name__ == "__main__":
    main()
