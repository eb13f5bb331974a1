"""``portraittalk evaluate | benchmark | check-prompts``: what a model's videos are worth."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import SettingsError
from .options import Device, Landmarker, Model, ModelsDir, Steps

if TYPE_CHECKING:
    import torch

    from ..config import PortraitTalkConfig
    from ..metrics.metric_nets import MetricNets
    from ..types import SamplingSettings

app = typer.Typer()

Seed = Annotated[int, typer.Option(help="The same seed gives the same figures.")]
MetricWeights = Annotated[
    Path | None,
    typer.Option(help="Folder of weights of SyncNet (LSE-C, LSE-D), LPIPS, FID and FVD; adds what is there."),
]


@app.command()
def evaluate(
    subjects: Annotated[list[Path], typer.Argument(metavar="SUBJECT", help="Real clips with sound, or pictures.")],
    out_dir: Annotated[Path, typer.Option(help="Folder for the videos that are made and measured.")],
    audio: Annotated[Path | None, typer.Option(help="The speech, where the subjects are pictures.")] = None,
    phones: Annotated[
        Path | None, typer.Option(help="Folder of NAME.phones files (start, end, phone a line): adds lip closures.")
    ] = None,
    references: Annotated[
        int, typer.Option(min=1, help="Pictures of the person: of a clip, its first frame, then its widest mouths.")
    ] = 1,
    seed: Seed = 0,
    steps: Steps = None,
    model: Model = "mini",
    models_dir: ModelsDir = None,
    device: Device = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    landmarker: Landmarker = "own",
    metric_weights: MetricWeights = None,
) -> None:
    """Measure how well faces follow the speech, lips, identity, the mouth's error, flicker and speed.

    Clips are played again from their first frame and compared with what really happened.
    """
    from ..face.providers import provider_named
    from ..metrics import evaluate as measuring
    from ..metrics.figures import as_json as to_json
    from ..metrics.figures import table
    from ..metrics.recognition import FaceRecognition
    from ..pipelines.load import load_model
    from ..weights.files import model_folders
    from .terminal import choose_device

    nets = _nets(metric_weights, choose_device(device), ("syncnet", "lpips"))
    networks = load_model(model, choose_device(device), model_folders(models_dir))
    recognition = FaceRecognition() if FaceRecognition.installed() else None
    settings, provider = _settings(networks.config, seed, steps), provider_named(landmarker)
    out_dir.mkdir(parents=True, exist_ok=True)
    rows = []
    for path in subjects:
        spoken = None if phones is None else phones / f"{(audio or path).stem}.phones"
        known = spoken if spoken is not None and spoken.is_file() else None
        subject = measuring.replayed(path, known, references)
        if audio is not None:
            subject = measuring.Subject(path.stem, path, audio, None, known)
        out = out_dir / f"{path.stem}.mp4"
        rows.append(measuring.evaluate(networks, subject, out, provider, recognition, settings, nets).figures)
    typer.echo(to_json(rows) if as_json else table(rows))


@app.command()
def benchmark(
    folder: Annotated[
        Path, typer.Argument(help="Pictures with sounds, and videos: files of one name belong together.")
    ],
    out: Annotated[Path, typer.Option(help="Folder of the report: report.html, .json, .tsv, .md, and the videos.")],
    seed: Seed = 0,
    steps: Steps = None,
    model: Model = "mini",
    models_dir: ModelsDir = None,
    device: Device = "auto",
    landmarker: Landmarker = "own",
    metric_weights: MetricWeights = None,
) -> None:
    """Evaluate a whole folder and write a report with plots and contact sheets; what fails is named in it."""
    from ..face.providers import provider_named
    from ..metrics.benchmark import Failure, subjects_in
    from ..metrics.benchmark import benchmark as run
    from ..metrics.evaluate import Evaluation, Subject
    from ..metrics.evaluate import evaluate as measure
    from ..metrics.recognition import FaceRecognition
    from ..pipelines.load import load_model
    from ..weights.files import model_folders
    from .terminal import ProgressBars, choose_device

    subjects = subjects_in(folder)
    nets = _nets(metric_weights, choose_device(device), ("syncnet", "lpips", "inception", "i3d"))
    networks = load_model(model, choose_device(device), model_folders(models_dir))
    recognition = FaceRecognition() if FaceRecognition.installed() else None
    settings, provider = _settings(networks.config, seed, steps), provider_named(landmarker)

    def measured(subject: Subject, video: Path) -> Evaluation:
        return measure(networks, subject, video, provider, recognition, settings, nets)

    with ProgressBars() as progress:
        results = run(subjects, measured, out, f"PortraitTalk {model}: {folder.resolve().name}", progress)
    typer.echo((out / "report.md").read_text(encoding="utf-8"))
    typer.echo(f"{out / 'report.html'}")
    if all(isinstance(result, Failure) for result in results):
        raise SettingsError(f"Nothing of {folder} could be measured: the report says why.")


@app.command()
def check_prompts(
    portraits: Annotated[list[Path], typer.Argument(metavar="PORTRAIT", help="Pictures, one face each.")],
    audio: Annotated[Path, typer.Option(help="The speech that is spoken meanwhile.")],
    seconds: Annotated[float, typer.Option(help="How much of it.")] = 1.2,
    reader: Annotated[
        str, typer.Option(help="What reads the made faces: mediapipe, which is independent of us, or own.")
    ] = "mediapipe",
    model: Model = "mini",
    models_dir: ModelsDir = None,
    device: Device = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Check for ten prompts that the face made with it moves as the words say, against the one made without."""
    from ..face.providers import provider_named
    from ..media.audio import read_audio
    from ..media.image import read_image
    from ..metrics.prompt_check import check_prompts as check
    from ..metrics.prompt_check import prompts_table
    from ..pipelines.load import load_model
    from ..weights.files import model_folders
    from .terminal import ProgressBars, choose_device

    networks = load_model(model, choose_device(device), model_folders(models_dir))
    sound, readers = read_audio(audio, duration=seconds), provider_named(reader)
    results = {}
    with ProgressBars() as progress:
        for path in portraits:
            results[path.stem] = check(networks, read_image(path).flattened(), sound, readers, progress=progress)
    if as_json:
        typer.echo(json.dumps({name: [asdict(row) for row in rows] for name, rows in results.items()}, indent=1))
    else:
        typer.echo("\n".join(f"{name}\n{prompts_table(rows)}" for name, rows in results.items()))


def _settings(config: "PortraitTalkConfig", seed: int, steps: int | None) -> "SamplingSettings":
    """Those that the model is best run with, but for what the user asks. Raises SettingsError."""
    from ..sampling.settings import check_settings, usual_settings

    settings = replace(usual_settings(config), seed=seed)
    settings = settings if steps is None else replace(settings, steps=steps)
    check_settings(settings, config)
    return settings


def _nets(folder: Path | None, device: "torch.device", names: tuple[str, ...]) -> "MetricNets | None":
    """Those of the named networks whose weights are in the folder."""
    from ..metrics.metric_nets import check_folder, load_metric_nets

    if folder is None:
        return None
    check_folder(folder)
    return load_metric_nets([folder], device, names)
