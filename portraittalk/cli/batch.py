"""``portraittalk batch``: make many videos, in several processes, and go on after an interruption."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import OutputError, SettingsError
from .animate_options import AnimationSettings
from .options import command

if TYPE_CHECKING:
    from .batches.jobs import Job
    from .batches.manifest import Manifest, Record
    from .batches.pool import Place
    from .batches.workers import Workers

app = typer.Typer()
MOST_WORKERS = 256
PROCESS_MEMORY = 1.2e9  # bytes of a process with mini, measured with pictures of 768x768 to 2048x2048
WEIGHTS_TIMES = 4  # memory of a model of public weights on a processor, in sizes of its file in half precision


@dataclass(frozen=True, kw_only=True)
class BatchOptions(AnimationSettings):
    """The command's options, as given by the user. Those of ``animate`` are for jobs that do not set them."""

    jobs: Annotated[
        list[Path],
        typer.Argument(
            metavar="JOBS",
            help="A file with a job a line, .jsonl or .csv, with portrait, audio and any option of animate; or two "
            "folders, of portraits and of speeches, for every portrait with every speech.",
        ),
    ]
    out: Annotated[Path, typer.Option(help="Folder for the videos, the manifest, the contact sheet and the page.")]
    video_format: Annotated[
        str, typer.Option("--format", help="Format of the videos whose jobs name none: mp4, webm, gif or webp.")
    ] = "mp4"
    workers: Annotated[
        int | None, typer.Option(help="Processes side by side. Default: one a GPU, without any one a processor core.")
    ] = None
    threads: Annotated[
        int | None, typer.Option(help="Threads of each process. Default: the cores divided by the processes.")
    ] = None
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Run on the Ray cluster at this address, such as 'auto' on one of its machines; default: here.",
        ),
    ] = None
    ray_transfer: Annotated[
        bool,
        typer.Option(
            "--ray-transfer",
            help="Send all files through Ray. Default: only to machines that do not see them on a shared disk.",
        ),
    ] = False
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only check the jobs, and tell how many frames and minutes they take.")
    ] = False


@command(app, BatchOptions)
def batch(options: BatchOptions) -> None:
    """Animate many portraits. Given again, the command makes only what is not finished."""
    from ..output_files import check_outputs, make_folder
    from ..weights.files import find_weights, model_folders
    from .batches.jobs import grouped, read_jobs
    from .batches.manifest import NAME, Manifest
    from .batches.report import PAGE, STRIPS
    from .batches.room import check_disk
    from .batches.workers import remove_unwritten
    from .run_costs import RunCosts, cache_folder

    jobs = read_jobs(options.jobs, options.out, options.video_format, options)
    weights = {job.name: find_weights(job.options.model, model_folders(job.options.models_dir)) for job in jobs}
    read = {*options.jobs, *weights.values(), *(path for job in jobs for path in job.options.inputs)}
    strips = [options.out / STRIPS / f"{job.name}.jpg" for job in jobs]
    check_outputs([options.out / NAME, options.out / PAGE, *strips], {path for path in read if not path.is_dir()})
    check_counts(options.workers, options.threads)
    if options.out.exists() and not options.out.is_dir():
        raise OutputError(f"{options.out} is a file, but a folder is needed here: choose another place.")
    manifest = Manifest(options.out)
    left = grouped(job for job in jobs if not manifest.is_finished(job, weights[job.name]))
    if len(left) < len(jobs):
        typer.echo(f"{len(jobs) - len(left)} of {len(jobs)} videos are finished already.")
    workers = workers_for(options, jobs, left, set(weights.values()))
    if options.dry_run:
        _tell(left, workers)
        return
    check_disk(left, options.out, RunCosts(cache_folder()))
    make_folder(options.out)
    for job in left:
        remove_unwritten(job)
    failed = _run(left, workers, manifest)
    _finish(jobs, manifest, failed)


def check_counts(workers: int | None, threads: int | None) -> None:
    """Raise SettingsError for numbers of workers or threads that make no sense."""
    for name, value in (("--workers", workers), ("--threads", threads)):
        if value is not None and not 1 <= value <= MOST_WORKERS:
            raise SettingsError(f"{name} must be between 1 and {MOST_WORKERS}, not {value}.")


def workers_for(options: BatchOptions, jobs: "list[Job]", left: "list[Job]", weights: set[Path]) -> "Workers":
    """Return what runs the jobs: processes here, or on a cluster. left: those of the jobs that are not finished."""
    from .batches.pool import Pool
    from .run_costs import cache_folder

    if options.ray is None or not left:
        return Pool(places_for(jobs, weights, options.workers, options.threads), options.out, cache_folder())
    from .batches.cluster import Cluster

    return Cluster(
        options.ray,
        options.out,
        jobs=len(left),
        threads=options.threads,
        gpus={job.options.device for job in left} <= {"auto", "cuda"},
        memory=_memory_of(weights),
        workers=options.workers,
        transfer=options.ray_transfer,
    )


def places_for(jobs: "list[Job]", weights: set[Path], workers: int | None, threads: int | None) -> "list[Place]":
    """Return where the processes run: by default one a GPU, or one a core, with the cores' threads shared among them.

    weights: files of the models, which limit how many processes fit into the memory.
    """
    import torch

    from ..memory.free import free_memory
    from .batches.pool import Place

    devices = {job.options.device for job in jobs}
    gpus: list[str | None] = [None]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if devices <= {"auto", "cuda"} and torch.cuda.is_available():
        visible = os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(torch.cuda.device_count())))
        gpus = list(visible.split(","))
        usual = len(gpus)
    elif devices <= {"auto", "cpu"}:
        free = free_memory(torch.device("cpu"))
        fitting = cores if free is None else int(free // _memory_of(weights))
        usual = max(min(cores // (threads or 1), fitting), 1)
    else:
        usual = 1
    count = min(workers or usual, max(len(jobs), 1))
    return [Place(threads or max(cores // count, 1), gpus[number % len(gpus)]) for number in range(count)]


def _memory_of(weights: set[Path]) -> float:
    """Return the bytes that a process with the largest of these models needs."""
    return PROCESS_MEMORY + WEIGHTS_TIMES * max(path.stat().st_size for path in weights)


def _run(jobs: "list[Job]", workers: "Workers", manifest: "Manifest") -> "list[Record]":
    """Run the jobs, write each into the manifest as it ends, and return the records of those that failed."""
    from .batches.manifest import DONE, Record
    from .batches.workers import Note
    from .terminal import BatchBars, messages, summary

    failed: list[Record] = []
    made = 0
    try:
        with BatchBars(len(jobs), workers.count) as bars, workers:
            for event in workers.run(jobs):
                if isinstance(event, Note):
                    bars.hide(event.worker)
                    messages.print(event.sentence, style="yellow", highlight=False, soft_wrap=True)
                    continue
                if not isinstance(event, Record):
                    bars.report(event.worker, event.job.name, event.progress)
                    continue
                manifest.add(event)
                bars.ended(event.worker)
                for line in event.warnings:
                    messages.print(f"{event.out}: {line}", style="yellow", highlight=False, soft_wrap=True)
                if event.status == DONE:
                    made += 1
                    seconds = sum(event.seconds.values())
                    line = summary(event.frames, event.fps, seconds, event.peak_memory_mb)
                    typer.echo(f"{event.out}: {line}")
                else:
                    failed.append(event)
                    typer.echo(f"{event.out}: Error: {event.error}", err=True)
    except BaseException:
        typer.echo(f"Stopped after {made} of {len(jobs)} videos: the same command goes on from there.", err=True)
        raise
    return failed


def _finish(jobs: "list[Job]", manifest: "Manifest", failed: "list[Record]") -> None:
    from .batches.report import write_report

    manifest.settle(jobs)
    pages = write_report(manifest.path.parent, jobs, manifest.records)
    typer.echo(f"{len(jobs) - len(failed)} of {len(jobs)} videos; see {pages[0]}")
    if failed:
        typer.echo(f"{len(failed)} failed; give the same command again when their inputs are right.", err=True)
        raise typer.Exit(1)


def _tell(jobs: "list[Job]", workers: "Workers") -> None:
    """Print what each job will take, and all of them together.

    Jobs that cannot run are listed with the reason; the exit code is then 1.
    """
    from ..errors import PortraitTalkError
    from ..output_files import free_space
    from ..progress import duration
    from .animation import Animation
    from .run_costs import RunCosts, cache_folder, summed_up

    costs = RunCosts(cache_folder())
    seconds, disk, frames, known, failed, rough = 0.0, 0.0, 0, 0, 0, False
    for job in jobs:
        try:
            animation = Animation.read(job.options, to_write=False)
            expected = animation.expected(costs, workers.count, workers.threads)
        except PortraitTalkError as error:
            failed += 1
            typer.echo(f"{job.name}: Error: {error}", err=True)
            continue
        typer.echo(f"{job.name}: {summed_up(animation.frames, animation.frame_size, expected)}")
        frames += animation.frames
        if expected is not None:
            known += 1
            rough = rough or expected.rough
            seconds += expected.seconds(animation.frames)
            disk += expected.disk(animation.frames)
    line = (
        f"{len(jobs) - failed} videos to make, {frames} frames, {workers.count} processes of {workers.threads} threads"
    )
    if known and known == len(jobs) - failed:
        about = "roughly" if rough else "about"
        line += f": {about} {duration(seconds / workers.count)} and {disk / 1e6:.0f} MB"
        free = free_space(jobs[0].options.out)
        if disk > free:
            line += f", but only {free / 1e6:.0f} MB are free"
    typer.echo(f"{line}.")
    if failed:
        raise typer.Exit(1)
