"""Seconds of computation per second of video of mini, from files to a file, and where they go.

    python benchmarks/realtime.py                            the demo at 768x768, this version
    python benchmarks/realtime.py --against 0390dda          and an older commit, in turn
    python benchmarks/realtime.py --sizes 512 768 1080       portraits of other sizes
    python benchmarks/realtime.py --seconds 10 60            other lengths, of the demo's speech repeated

Every run is a `portraittalk animate` of its own, once with a second of speech and once with all of it: the difference
is what a second of video costs, what is left is the start (imports, weights, finding the face, working out the
background). Runs of all versions alternate, and the fastest of each length counts, because other work on the machine
slows some of them down. Prints Markdown tables; the stages are measured on one thread in this process.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
import wave
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DEMO = ROOT / "portraittalk" / "assets" / "demo"
FPS, ROUNDS = 25.0, 9
SHORT = 1.0  # seconds of speech of the run that is subtracted


def command(tree: Path, portrait: Path, sound: Path, threads: int) -> dict[str, float]:
    """Return clock, processor time (both in seconds) and peak memory in MB of `portraittalk animate` of ``tree``."""
    environment = {**os.environ, "PYTHONPATH": str(tree), "OMP_NUM_THREADS": str(threads)}
    with tempfile.TemporaryDirectory() as folder:
        before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        line = [sys.executable, "-m", "portraittalk", "animate", portrait, "--audio", sound, "--out", f"{folder}/o.mp4"]
        subprocess.run(line, env=environment, cwd=folder, check=True, capture_output=True)
        clock, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = sum(getattr(after, name) - getattr(before, name) for name in ("ru_utime", "ru_stime"))
    return {"clock": clock, "processor": processor, "memory": after.ru_maxrss / 1000}


def costs(runs: list[tuple[dict[str, float], dict[str, float]]], seconds: float) -> dict[str, float]:
    """Return what a second of video costs, and what comes before: the difference of the fastest long and short runs.

    The memory is the largest of all runs until now, as the system reports it of ended processes.
    """
    short, long = ({name: min(run[name] for run in length) for name in length[0]} for length in zip(*runs, strict=True))
    each = {name: (long[name] - short[name]) / (seconds - SHORT) for name in ("clock", "processor")}
    return {**each, "start": short["clock"] - SHORT * each["clock"], "memory": long["memory"]}


def sized(size: int, folder: Path) -> Path:
    """Return the demo portrait as a file of ``size`` pixels a side."""
    from PIL import Image

    path = folder / f"portrait_{size}.png"
    Image.open(DEMO / "portrait.jpg").resize((size, size), Image.Resampling.LANCZOS).save(path)
    return path


def spoken(seconds: float, folder: Path) -> Path:
    """Return the demo speech, repeated or cut to a length, as a file."""
    path = folder / f"speech_{seconds:g}.wav"
    with wave.open(str(DEMO / "speech.wav")) as demo, wave.open(str(path), "wb") as repeated:
        repeated.setparams(demo.getparams())
        sound = demo.readframes(demo.getnframes())
        size = round(seconds * demo.getframerate()) * demo.getsampwidth() * demo.getnchannels()
        repeated.writeframes((sound * (size // len(sound) + 1))[:size])
    return path


def stages() -> list[tuple[str, float]]:
    """Return the processor time of each stage on one thread, in milliseconds per frame of the demo."""
    import torch

    from portraittalk import load_model, read_audio, read_image
    from portraittalk.compositing.compose import Compositor
    from portraittalk.compositing.head import Head
    from portraittalk.compositing.structure import build_structure
    from portraittalk.compositing.window_layers import Layers
    from portraittalk.pipelines.window import DRAWN_TOGETHER, WindowInputs, WindowPipeline
    from portraittalk.sampling.settings import usual_settings

    torch.set_num_threads(1)
    model = load_model()
    assert isinstance(model, WindowPipeline)
    identity = model.encode_identity([read_image(DEMO / "portrait.jpg").flattened()])
    speech = model.encode_speech(read_audio(DEMO / "speech.wav", duration=2.0), FPS)
    settings = usual_settings(model.config)
    together = DRAWN_TOGETHER * settings.chunk
    some = slice(16, 16 + together)
    track, features = model.make_motion(speech)[some], speech.features[some]
    compositor = Compositor(identity.portrait, identity.crop, Head(identity, model.basis), identity.landmarks)
    layers = Layers(identity, model.config, None)
    noise = model.noise(0)

    def structure() -> object:
        return build_structure(identity, track, model.basis, model.config, True)

    def fastest(work: Callable[[], object], frames: int = together) -> float:
        times = []
        for _ in range(ROUNDS):
            started = time.process_time()
            work()
            times.append(time.process_time() - started)
        return 1000 * min(times) / frames

    with torch.no_grad():
        geometry = build_structure(identity, track, model.basis, model.config, True)
        inputs = WindowInputs(identity.tokens, geometry, features, noise)
        picture = model.draw(inputs, settings)
        pasted = geometry[: settings.chunk]
        shown = layers(pasted, picture[: settings.chunk])
        latents = model.autoencoder.encode(geometry.warped.to(model.dtype))
        assert model.difference_decoder is not None
        decoder = model.difference_decoder
        return [
            ("structure: landmarks, flow, warped and painted window", fastest(structure)),
            ("networks", fastest(lambda: model.draw(inputs, settings))),
            ("of which encoding", fastest(lambda: model.autoencoder.encode(geometry.warped.to(model.dtype)))),
            ("of which decoding", fastest(lambda: decoder(latents, latents))),
            (
                "turning the head, pasting back",
                fastest(
                    lambda: compositor(
                        pasted.flow,
                        shown.residual,
                        shown.mask,
                        shown.instead,
                        pasted.pose,
                        pasted.closure,
                        drawn=shown.drawn,
                    ),
                    settings.chunk,
                ),
            ),
        ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", help="commit to compare with")
    parser.add_argument("--sizes", type=int, nargs="+", default=[768])
    parser.add_argument("--seconds", type=float, nargs="+", default=[6.8])
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--no-stages", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        trees = {"this version": ROOT}
        if arguments.against:
            other = folder / "tree"
            subprocess.run(["git", "-C", ROOT, "worktree", "add", "--detach", other, arguments.against], check=True)
            trees[arguments.against] = other
        try:
            rows = ["| version | portrait | speech | start, s | s per s of video | processor s per s | MB |"]
            rows.append("|---|---|---|---|---|---|---|")
            for size in arguments.sizes:
                for seconds in arguments.seconds:
                    portrait, sounds = sized(size, folder), (spoken(SHORT, folder), spoken(seconds, folder))
                    found: dict[str, list[tuple[dict[str, float], dict[str, float]]]] = {tree: [] for tree in trees}
                    for _ in range(arguments.rounds):
                        for tree, path in trees.items():
                            short, long = (command(path, portrait, sound, arguments.threads) for sound in sounds)
                            found[tree].append((short, long))
                    for tree, runs in found.items():
                        best = costs(runs, seconds)
                        rows.append(
                            f"| {tree} | {size}x{size} | {seconds:g} s | {best['start']:.1f} | {best['clock']:.2f} "
                            f"| {best['processor']:.2f} | {best['memory']:.0f} |"
                        )
            print("\n".join(rows))
        finally:
            if arguments.against:
                subprocess.run(["git", "-C", ROOT, "worktree", "remove", "--force", other], check=True)
    if not arguments.no_stages:
        print("\n| stage, one thread | ms of processor time a frame |\n|---|---|")
        print("\n".join(f"| {stage} | {time:.1f} |" for stage, time in stages()))


if __name__ == "__main__":
    main()
