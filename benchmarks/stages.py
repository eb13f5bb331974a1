"""Time and peak memory of each stage of EchoMimic, compared with diffusers' AnimateDiff, and of LivePortrait.

    python benchmarks/stages.py                       512x512, 12 frames, 6 steps: on a GPU, half precision
    python benchmarks/stages.py --compile             the same with torch.compile
    python benchmarks/stages.py --stages "keypoints: frame" "keypoints: portrait"       LivePortrait alone, at full size
    python benchmarks/stages.py --width 64 --size 256 --steps 2     narrower networks: some minutes on a CPU

Weights are random. All stages run in turn, several times, and medians are reported, so ratios stay valid if the
machine's speed drifts. A stage's floor is its number of operations, as counted by torch, divided by the rate of a
matrix product measured in the same rounds. Memory is the peak of a separate process on a CPU and torch's allocation on
a GPU. Prints a Markdown table; --json FILE writes all figures.
"""

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from diffusers import AnimateDiffPipeline, DDIMScheduler, UNetMotionModel
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from portraittalk.config import PortraitTalkConfig
from portraittalk.memory.offload import speed_up
from portraittalk.metrics.cost import peak_memory_mb
from portraittalk.models.animate_net import Conditions
from portraittalk.models.autoencoder import Autoencoder
from portraittalk.models.reference_net import reference_features
from portraittalk.pipelines.load import build_pipeline, pipeline_class
from portraittalk.pipelines.reference import clip_noise, sample_clip
from portraittalk.types import SamplingSettings
from portraittalk.weights.layouts import ECHOMIMIC_ACC
from portraittalk.weights.liveportrait import LIVEPORTRAIT
from portraittalk.weights.networks import SINGLE, build_networks

Work = Callable[[], object]
TEXT_TOKENS, TEXT_WIDTH = 77, 768  # text embedding of AnimateDiff
DECODED = 4  # frames decoded at once
OURS = "reference", "speech", "denoise", "denoise, no reference", "decode", "decode, TAESD", "whole", "whole, TAESD"
THEIRS = "diffusers: denoise", "diffusers: whole"
KEYPOINTS = "keypoints: portrait", "keypoints: warp", "keypoints: draw", "keypoints: frame"
KEYPOINTS_PREDICTED = {"keypoints: portrait": "reference", "keypoints: warp": "denoise", "keypoints: frame": "decode"}
PREDICTED = {"reference": "reference", "speech": "speech", "denoise": "denoise", "decode": "decode"}


def configuration(arguments: argparse.Namespace) -> PortraitTalkConfig:
    width = arguments.width
    return replace(
        ECHOMIMIC_ACC,
        crop_size=arguments.size,
        fast_decoder=True,
        structure=replace(ECHOMIMIC_ACC.structure, map_size=arguments.size),
        autoencoder=replace(
            ECHOMIMIC_ACC.autoencoder,
            block_out_channels=tuple(max(1, by * width // 320 // 32) * 32 for by in (128, 256, 512, 512)),
        ),
        animate_net=replace(ECHOMIMIC_ACC.animate_net, block_out_channels=(width, 2 * width, 4 * width, 4 * width)),
    )


class Bench:
    """The networks and the work of each stage. On the meta device it only counts operations."""

    def __init__(self, arguments: argparse.Namespace, device: str, names: tuple[str, ...]) -> None:
        self.arguments, self.device, self.names = arguments, device, names
        self.dtype = getattr(torch, arguments.dtype)
        self.config = configuration(arguments)
        self.frames, self.window = arguments.frames, min(arguments.window, arguments.frames)
        self.settings = SamplingSettings(
            steps=arguments.steps, window=arguments.window, overlap=self.config.overlap, chunk=arguments.chunk
        )
        if set(names) & set(OURS):
            with torch.device("meta"):
                self.model = build_pipeline(self.config)
            for module in self.model.modules().values():
                self.fill(module)
            if device != "meta":
                speed_up(self.model.modules(), arguments.channels_last, arguments.compile)
        if set(names) & set(KEYPOINTS):
            with torch.device("meta"):
                self.renderer: dict[str, Any] = build_networks(LIVEPORTRAIT.config)
            for name, module in self.renderer.items():
                self.fill(module)
                if name in SINGLE:
                    module.float()
            if device != "meta":
                speed_up(self.renderer, arguments.channels_last, arguments.compile)
        if set(names) & set(THEIRS):
            with torch.device("meta"):
                self.unet = UNetMotionModel(
                    sample_size=self.config.latent_size,
                    block_out_channels=self.config.animate_net.block_out_channels,
                    norm_num_groups=32,
                    cross_attention_dim=TEXT_WIDTH,
                    num_attention_heads=8,
                    motion_num_attention_heads=8,
                    use_motion_mid_block=True,
                )
                vae = Autoencoder(self.config.autoencoder).kl
            self.fill(self.unet)
            self.fill(vae)
            if device != "meta" and arguments.channels_last:
                self.unet.to(memory_format=torch.channels_last)
            if device != "meta" and arguments.compile:
                self.unet.compile()
            self.pipeline = AnimateDiffPipeline(vae, None, None, self.unet, None, DDIMScheduler())
            self.pipeline.set_progress_bar_config(disable=True)

    def fill(self, module: nn.Module) -> None:
        """Allocate a module on the device with small random weights."""
        nn.Module.to(module, self.dtype).to_empty(device=self.device).eval().requires_grad_(False)
        generator = None if self.device == "meta" else torch.Generator(self.device).manual_seed(0)
        for value in [*module.parameters(), *module.buffers()]:
            if value.is_floating_point():
                value.uniform_(-0.03, 0.03, generator=generator)
            else:
                value.zero_()

    def tensor(self, *shape: int) -> torch.Tensor:
        return torch.zeros(shape, dtype=self.dtype, device=self.device)

    def stages(self) -> dict[str, tuple[Work, int, int]]:
        """Return per stage: its work, number of frames and number of steps."""
        frames, window, steps, side = self.frames, self.window, self.arguments.steps, self.config.latent_size
        timestep = torch.tensor(500, device=self.device)
        stages: dict[str, tuple[Work, int, int]] = {}
        if set(self.names) & set(OURS):
            net, size = self.model.animate_net, self.config.crop_size
            picture, latents = self.tensor(1, 3, size, size), self.tensor(window, 4, side, side)
            reference = {}
            if any(name.startswith(("denoise", "whole")) for name in self.names):
                reference = reference_features(self.model.reference_net, self.tensor(1, 4, side, side))
            whole = Conditions(
                map=self.tensor(1, 1, 1, size, size), speech=self.tensor(1, frames, 50, 384), reference=reference
            )
            part = replace(whole, speech=whole.speech[:, :window])
            prepared, prepared_no_reference = net.prepare(part), net.prepare(replace(part, reference={}))
            clip = latents.transpose(0, 1)[None]
            noise = clip_noise(0, frames, (4, side, side), 1.5).to(self.device)

            def decode(decoder: nn.Module, latents: torch.Tensor) -> None:
                for chunk in latents.split(self.settings.chunk):
                    frames = decoder.decode(chunk).float().clamp(0, 1)
                    if self.device != "meta":
                        frames.cpu()

            def video(decoder: nn.Module) -> None:
                clean = sample_clip(net, whole, noise, self.settings)
                decode(decoder, clean[0].transpose(0, 1).to(self.dtype))

            stages = {
                "reference": (lambda: self.model.reference_net(self.model.autoencoder.encode(picture)), 1, 1),
                "speech": (lambda: self.model.speech_encoder(self.tensor(1, 80, 3000)), 30 * 25, 1),
                "denoise": (lambda: net(clip, timestep, prepared), window, 1),
                "denoise, no reference": (lambda: net(clip, timestep, prepared_no_reference), window, 1),
                "decode": (lambda: decode(self.model.autoencoder, latents), window, 1),
                "decode, TAESD": (lambda: decode(self.model.fast_decoder, latents), window, 1),
                "whole": (lambda: video(self.model.autoencoder), frames, steps),
                "whole, TAESD": (lambda: video(self.model.fast_decoder), frames, steps),
            }
        if set(self.names) & set(KEYPOINTS):
            stages |= self.keypoint_stages()
        if set(self.names) & set(THEIRS):
            text = self.tensor(1, TEXT_TOKENS, TEXT_WIDTH)
            sample, rows = self.tensor(1, 4, window, side, side), text.repeat_interleave(window, 0)

            def diffusers_video() -> None:
                self.pipeline(
                    num_frames=frames,
                    height=self.config.crop_size,
                    width=self.config.crop_size,
                    num_inference_steps=steps,
                    guidance_scale=1.0,
                    prompt_embeds=text,
                    decode_chunk_size=self.settings.chunk,
                    output_type="pt",
                )

            stages["diffusers: denoise"] = (lambda: self.unet(sample, timestep, rows, return_dict=False), window, 1)
            stages["diffusers: whole"] = (diffusers_video, frames, steps)
        return {name: stage for name, stage in stages.items() if name in self.names}

    def keypoint_stages(self) -> dict[str, tuple[Work, int, int]]:
        """Return the stages of LivePortrait: what is computed once a portrait, and for a chunk of frames."""
        networks, count = self.renderer, self.settings.chunk
        side, points = LIVEPORTRAIT.config.liveportrait.input_size, LIVEPORTRAIT.config.liveportrait.keypoints
        picture = self.tensor(1, 3, side, side)
        source, driving = (torch.zeros(number, points, 3, device=self.device) for number in (1, count))
        volume = networks["appearance"](picture)
        narrow = networks["warping"].compressed(volume)

        def portrait() -> None:
            networks["appearance"](picture)
            networks["motion_extractor"](picture.float())

        def warp() -> torch.Tensor:
            return networks["warping"](volume, source, driving, narrow)

        features = warp() if "keypoints: draw" in self.names else volume
        return {
            "keypoints: portrait": (portrait, 1, 1),
            "keypoints: warp": (warp, count, 1),
            "keypoints: draw": (lambda: networks["generator"](features), count, 1),
            "keypoints: frame": (lambda: networks["generator"](warp()), count, 1),
        }

    def estimates(self) -> tuple[str, dict[str, int]]:
        """Return what the estimate says before a run, and the bytes that it predicts by stage."""
        told, predicted = "", {}
        for names, config, by_stage in (
            (OURS, self.config, PREDICTED),
            (KEYPOINTS, LIVEPORTRAIT.config, KEYPOINTS_PREDICTED),
        ):
            if set(self.names) & set(names):
                frames = self.arguments.frames
                need = pipeline_class(config).memory(config, frames, self.settings, self.dtype, self.device)
                told += f"{config.name} {need} "
                predicted |= {name: need.stages[stage] for name, stage in by_stage.items()}
        return told.strip(), predicted


def operations(arguments: argparse.Namespace, names: tuple[str, ...]) -> dict[str, float]:
    """Return the floating point operations of each stage, counted on the meta device."""
    counts = {}
    for name, (work, _, _) in Bench(arguments, "meta", tuple(n for n in names if "whole" not in n)).stages().items():
        with FlopCounterMode(display=False) as counter:
            work()
        counts[name] = float(counter.get_total_flops())
    return counts


def with_wholes(counts: dict[str, float], arguments: argparse.Namespace, overlap: int) -> dict[str, float]:
    """Add the counts of whole videos: denoising all windows in all steps, and decoding."""
    frames, window = arguments.frames, min(arguments.window, arguments.frames)
    windows = len(range(0, frames, arguments.window - overlap)) if frames > arguments.window else 1
    decoded, denoised = frames / window, arguments.steps * windows
    parts = {
        "whole": ("denoise", "decode", denoised),
        "whole, TAESD": ("denoise", "decode, TAESD", denoised),
        "diffusers: whole": ("diffusers: denoise", "decode", arguments.steps * frames / window),
    }
    totals = {
        name: times * counts[net] + decoded * counts[decoder]
        for name, (net, decoder, times) in parts.items()
        if net in counts and decoder in counts
    }
    return counts | totals


def synchronize(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def seconds(work: Work, device: str, clock: Callable[[], float]) -> float:
    synchronize(device)
    started = clock()
    work()
    synchronize(device)
    return clock() - started


def product(bench: Bench) -> tuple[Work, float]:
    """Return a large matrix product in the run's precision, and its operations."""
    side = 8192 if bench.device == "cuda" else 2048
    left, right = bench.tensor(side, side).uniform_(-1, 1), bench.tensor(side, side).uniform_(-1, 1)
    return lambda: left @ right, 2.0 * side**3


def memory_on_gpu(work: Work) -> float:
    """Return the peak MB allocated by torch beyond what was held before, which includes all weights."""
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    work()
    torch.cuda.synchronize()
    return (torch.cuda.max_memory_allocated() - before) / 1e6


def memory_on_cpu(arguments: argparse.Namespace, name: str) -> float:
    """Return the peak MB of a process that holds only one stage's networks and runs it once.

    It is forked before this process builds any networks.
    """
    out, into = os.pipe()
    child = os.fork()
    if child == 0:
        work, _, _ = Bench(arguments, arguments.device, (name,)).stages()[name]
        work()
        os.write(into, str(peak_memory_mb()).encode())
        os._exit(0)
    os.close(into)
    os.waitpid(child, 0)
    with os.fdopen(out) as result:
        return float(result.read())


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cuda = torch.cuda.is_available()
    parser.add_argument("--device", default="cuda" if cuda else "cpu")
    parser.add_argument("--dtype", default="float16" if cuda else "float32")
    parser.add_argument("--width", type=int, default=320, help="channels of the first level; a multiple of 32")
    parser.add_argument("--size", type=int, default=512, help="side of the frames in pixels; a multiple of 64")
    parser.add_argument("--frames", type=int, default=12)
    parser.add_argument("--window", type=int, default=12)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--chunk", type=int, default=DECODED, help="frames decoded at once")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--stages", nargs="+", default=[*OURS, *THEIRS], choices=[*OURS, *THEIRS, *KEYPOINTS])
    parser.add_argument("--channels-last", action="store_true")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--no-memory", action="store_true", help="do not measure memory")
    parser.add_argument("--cpu-time", action="store_true", help="measure CPU time of all threads, for a busy CPU")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


@torch.no_grad()
def main() -> None:
    arguments = parsed()
    names = tuple(arguments.stages)
    device = arguments.device
    peaks = {}
    if device == "cpu" and not arguments.no_memory:
        peaks = {name: memory_on_cpu(arguments, name) for name in names}
    bench = Bench(arguments, device, names)
    stages, (multiply, multiplied) = bench.stages(), product(bench)
    counts = with_wholes(operations(arguments, names), arguments, bench.config.overlap)
    for work, _, _ in stages.values():
        work()  # warm up, and compile
    clock = time.process_time if arguments.cpu_time else time.perf_counter
    times: dict[str, list[float]] = {name: [] for name in [*stages, "product"]}
    for _ in range(arguments.repeat):
        times["product"].append(seconds(multiply, device, clock))
        for name, (work, _, _) in stages.items():
            times[name].append(seconds(work, device, clock))
    medians = {name: statistics.median(values) for name, values in times.items()}
    rate = multiplied / medians["product"]
    told, predicted = bench.estimates()
    rows = []
    for name, (work, frames, steps) in stages.items():
        floor = counts[name] / rate if name in counts else None
        if device == "cuda" and not arguments.no_memory:
            peaks[name] = memory_on_gpu(work)
        rows.append(
            {
                "stage": name,
                "seconds": medians[name],
                "all_seconds": times[name],
                "frames": frames,
                "steps": steps,
                "tflop": counts[name] / 1e12 if name in counts else None,
                "floor_seconds": floor,
                "times_floor": medians[name] / floor if floor else None,
                "peak_mb": peaks.get(name),
                "estimated_mb": predicted[name] / 1e6 if name in predicted else None,
            }
        )
    about = {
        "device": torch.cuda.get_device_name() if device == "cuda" else f"{platform.machine()} CPU",
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "matrix_tflops": rate / 1e12,
        "options": {key: str(value) for key, value in vars(arguments).items()},
        "estimate": told,
    }
    print(table(about, rows))
    if arguments.json:
        arguments.json.write_text(json.dumps({"about": about, "stages": rows}, indent=2))


def table(about: dict, rows: list[dict]) -> str:
    def cell(value: float | None, form: str) -> str:
        return "" if value is None else format(value, form)

    lines = [
        f"{about['device']}, torch {about['torch']}, matrix products at {about['matrix_tflops']:.3g} TFLOP/s; "
        f"estimated: {about['estimate']}",
        "",
        "| stage | s | s per frame and step | TFLOP per frame and step | times floor | peak MB | estimated MB |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        each = row["frames"] * row["steps"]
        lines.append(
            f"| {row['stage']} | {row['seconds']:.3f} | {row['seconds'] / each:.4f} "
            f"| {cell(row['tflop'] and row['tflop'] / each, '.3f')} | {cell(row['times_floor'], '.2f')} "
            f"| {cell(row['peak_mb'], '.0f')} | {cell(row['estimated_mb'], '.0f')} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
