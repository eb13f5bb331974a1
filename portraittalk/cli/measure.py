"""``portraittalk evaluate | benchmark | check-prompts``: measure the quality of a model's videos."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import SettingsError
from .options import Device, Landmarker, Liveliness, Model, ModelsDir, Steps, check_exist

if TYPE_CHECKING:
    import torch

    from ..metrics.metric_nets import MetricNets

app = typer.Typer()

Seed = Annotated[int, typer.Option(help="Random seed; the same seed gives the same results.")]
MetricWeights = Annotated[
    Path | None,
    typer.Option(help="Folder with the weights of SyncNet (LSE-C, LSE-D), LPIPS, FID or FVD; adds the metrics it has."),
]


@app.command()
def evaluate(
    subjects: Annotated[list[Path], typer.Argument(metavar="SUBJECT", help="Real clips with sound, or pictures.")],
    out_dir: Annotated[Path, typer.Option(help="Folder for the generated videos.")],
    audio: Annotated[Path | None, typer.Option(help="Speech, if the subjects are pictures.")] = None,
    phones: Annotated[
        Path | None,
        typer.Option(help="Folder of NAME.phones files (start, end, phone per line): adds the lip closure metric."),
    ] = None,
    references: Annotated[
        int,
        typer.Option(min=1, help="Reference pictures: the first frame of a clip, then those with the widest mouth."),
    ] = 1,
    seed: Seed = 0,
    liveliness: Liveliness = 1.0,
    steps: Steps = None,
    model: Model = "mini",
    models_dir: ModelsDir = None,
    device: Device = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    landmarker: Landmarker = "own",
    metric_weights: MetricWeights = None,
) -> None:
    """Measure lip sync, lip closures, identity, mouth error, flicker and speed.

    Clips are regenerated from their first frame and audio, and compared with the real video.
    """
    from ..face.providers import provider_named
    from ..media.source import PICTURES
    from ..metrics import evaluate as measuring
    from ..metrics.figures import as_json as to_json
    from ..metrics.figures import table
    from ..metrics.recognition import FaceRecognition
    from ..output_files import check_names, check_outputs, make_folder
    from ..pipelines.load import load_model
    from ..sampling.settings import check_strengths, chosen_settings
    from ..weights.files import model_folders
    from .terminal import choose_device

    check_strengths(liveliness=liveliness)
    check_exist([*subjects, *([audio] if audio else [])])
    if phones is not None and not phones.is_dir():
        raise SettingsError(f"There is no folder {phones}: give the folder of the phone files with --phones.")
    if audio is None and (picture := next((path for path in subjects if path.suffix.lower() in PICTURES), None)):
        raise SettingsError(f"{picture} is a picture: give the speech for it with --audio.")
    chosen = []
    for path in subjects:
        phone_file = None if phones is None else phones / f"{(audio or path).stem}.phones"
        if phone_file is not None and not phone_file.is_file():
            phone_file = None
        replayed = measuring.replayed(path, phone_file, references)
        chosen.append(replayed if audio is None else measuring.Subject(path.stem, path, audio, None, phone_file))
    outs = [out_dir / f"{path.stem}.mp4" for path in subjects]
    check_names({path: f"{out}" for path, out in zip(subjects, outs, strict=True)})
    check_outputs(outs, {file for subject in chosen for file in subject.files})
    make_folder(out_dir)
    nets = _nets(metric_weights, choose_device(device), ("syncnet", "lpips"))
    networks = load_model(model, choose_device(device), model_folders(models_dir))
    recognition = FaceRecognition() if FaceRecognition.installed() else None
    settings, provider = chosen_settings(networks.config, seed=seed, steps=steps), provider_named(landmarker)
    rows = [
        measuring.evaluate(networks, subject, out, provider, recognition, settings, nets, liveliness=liveliness).figures
        for subject, out in zip(chosen, outs, strict=True)
    ]
    typer.echo(to_json(rows) if as_json else table(rows))


@app.command()
def benchmark(
    folder: Annotated[
        Path, typer.Argument(help="Folder of videos and of pictures with audio; files are paired by name.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for the report (report.html, .json, .tsv and .md) and the videos.")],
    seed: Seed = 0,
    liveliness: Liveliness = 1.0,
    steps: Steps = None,
    model: Model = "mini",
    models_dir: ModelsDir = None,
    device: Device = "auto",
    landmarker: Landmarker = "own",
    metric_weights: MetricWeights = None,
) -> None:
    """Evaluate a whole folder and write a report with plots, contact sheets and a list of failures."""
    from ..face.providers import provider_named
    from ..metrics.benchmark import Failure, prepare_output, subjects_in
    from ..metrics.benchmark import benchmark as run
    from ..metrics.evaluate import Evaluation, Subject
    from ..metrics.evaluate import evaluate as measure
    from ..metrics.recognition import FaceRecognition
    from ..pipelines.load import load_model
    from ..sampling.settings import check_strengths, chosen_settings
    from ..weights.files import model_folders
    from .terminal import ProgressBars, choose_device

    check_strengths(liveliness=liveliness)
    subjects = subjects_in(folder)
    prepare_output(subjects, out)
    nets = _nets(metric_weights, choose_device(device), ("syncnet", "lpips", "inception", "i3d"))
    networks = load_model(model, choose_device(device), model_folders(models_dir))
    recognition = FaceRecognition() if FaceRecognition.installed() else None
    settings, provider = chosen_settings(networks.config, seed=seed, steps=steps), provider_named(landmarker)

    def measure_subject(subject: Subject, video: Path) -> Evaluation:
        return measure(networks, subject, video, provider, recognition, settings, nets, liveliness=liveliness)

    with ProgressBars() as progress:
        results = run(subjects, measure_subject, out, f"PortraitTalk {model}: {folder.resolve().name}", progress)
    typer.echo((out / "report.md").read_text(encoding="utf-8"))
    typer.echo(f"{out / 'report.html'}")
    if all(isinstance(result, Failure) for result in results):
        raise SettingsError(f"Every subject in {folder} failed: see {out / 'report.md'} for the reasons.")


@app.command()
def check_prompts(
    portraits: Annotated[list[Path], typer.Argument(metavar="PORTRAIT", help="Pictures, one face each.")],
    audio: Annotated[Path, typer.Option(help="Speech for the videos.")],
    seconds: Annotated[float, typer.Option(help="Seconds of the speech to use.")] = 1.2,
    reader: Annotated[
        str,
        typer.Option(help="Landmarker that measures the generated faces: mediapipe (independent of the model) or own."),
    ] = "mediapipe",
    model: Model = "mini",
    models_dir: ModelsDir = None,
    device: Device = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Check for ten prompts that the generated face shows the prompted expression, compared with no prompt."""
    from ..face.providers import provider_named
    from ..media.audio import read_audio
    from ..media.image import read_image
    from ..metrics.prompt_check import check_prompts as check
    from ..metrics.prompt_check import prompts_table
    from ..output_files import check_names
    from ..pipelines.load import load_model
    from ..weights.files import model_folders
    from .terminal import ProgressBars, choose_device

    check_exist([*portraits, audio])
    check_names({path: path.stem for path in portraits})
    networks = load_model(model, choose_device(device), model_folders(models_dir))
    speech, readers = read_audio(audio, duration=seconds), provider_named(reader)
    results = {}
    with ProgressBars() as progress:
        for path in portraits:
            results[path.stem] = check(networks, read_image(path).flattened(), speech, readers, progress=progress)
    if as_json:
        typer.echo(json.dumps({name: [asdict(row) for row in rows] for name, rows in results.items()}, indent=1))
    else:
        typer.echo("\n".join(f"{name}\n{prompts_table(rows)}" for name, rows in results.items()))


def _nets(folder: Path | None, device: "torch.device", names: tuple[str, ...]) -> "MetricNets | None":
    """Load those of the named metric networks whose weights are in the folder."""
    from ..metrics.metric_nets import check_folder, load_metric_nets

    if folder is None:
        return None
    check_folder(folder)
    return load_metric_nets([folder], device, names)
