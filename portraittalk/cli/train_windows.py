"""``portraittalk train window``: train the autoencoder of mouth windows, then AnimateNet on such windows.

The order is mouths, driven, autoencoder, pairs, animate; the two trainings each once more with their discriminator.
Then `weights pack` makes a model, which can be made faster: differences, difference, `weights pack
--difference-decoder`.
"""

from pathlib import Path
from typing import Annotated, Any

import typer

from ..weights.files import BUILT_IN
from .options import Landmarker
from .train import (
    Config,
    LeaveOut,
    Minutes,
    Out,
    Pairs,
    Seed,
    Set,
    Start,
    Steps,
    clips_of,
    configured,
    ends,
    media_of,
)

app = typer.Typer(no_args_is_help=True, help="Train the networks that draw a window about the mouth.")

OutFolder = Annotated[Path, typer.Option(help="Output folder; existing files are kept.")]
Tracks = Annotated[Path, typer.Option(help="Output folder of `train tracks` for the videos.")]
Mouths = Annotated[Path | None, typer.Option(help="Output folder of `mouths` or `driven`.")]
RandomSeed = Annotated[int, typer.Option(help="Random seed.")]


@app.command()
def mouths(
    sources: Annotated[Path, typer.Argument(help="Folder of videos and portraits.")],
    tracks: Tracks,
    out: OutFolder,
    frames: Annotated[int, typer.Option(min=2, help="Frames of each video, spread over how far its lips open.")] = 14,
    landmarker: Landmarker = "mediapipe",
) -> None:
    """Cut pictures of mouths out of videos and portraits."""
    from ..config import MINI
    from ..face.providers import provider_named
    from ..media.source import PICTURES, VIDEOS
    from ..training.data.mouths import write_mouths

    files = media_of(sources, (*PICTURES, *VIDEOS), "videos or pictures")
    videos = {path: frames for path in files if path.suffix.lower() in VIDEOS}
    portraits = [path for path in files if path not in videos]
    write_mouths(videos, portraits, tracks, provider_named(landmarker), MINI.speech, out)


@app.command()
def driven(
    portraits: Annotated[Path, typer.Argument(help="Folder of portraits, of about 768 pixels a side.")],
    tracks: Tracks,
    out: OutFolder,
    frames: Annotated[int, typer.Option(min=2, help="Frames of each portrait.")] = 10,
    landmarker: Landmarker = "mediapipe",
    seed: RandomSeed = 0,
) -> None:
    """Drive portraits by the videos' motion, with rendered teeth behind closed lips."""
    from ..compositing.teeth import load_dentition
    from ..face.providers import provider_named
    from ..media.source import PICTURES
    from ..models.face_basis import load_basis
    from ..training.animate.window_pairs import write_driven_mouths

    pictures = media_of(portraits, PICTURES, "pictures")
    provider = provider_named(landmarker)
    write_driven_mouths(pictures, clips_of(tracks), frames, load_dentition(), load_basis(), provider, seed, out)


@app.command()
def autoencoder(
    out: Out,
    config: Config = None,
    mouths: Mouths = None,
    minutes: Minutes = None,
    steps: Steps = None,
    start: Start = None,
    leave_out: LeaveOut = None,
    seed: Seed = None,
    set_: Set = None,
) -> None:
    """Train the autoencoder of windows; its latents' scaling factor is logged at the end."""
    from ..training.animate.window_autoencoder import train_window_autoencoder
    from ..training.data.prepare import clip_files
    from ..training.runs import WindowAutoencoderRun

    options: dict[str, Any] = {"mouths": mouths, "start": start, "leave_out": leave_out, **ends(minutes, steps, seed)}
    run = configured(WindowAutoencoderRun, "window autoencoder", out, config, options, set_)
    files = clips_of(run.mouths, run.leave_out)
    held_out = [path for path in clip_files(run.mouths) if path not in files]
    train_window_autoencoder(files, run.network, run.training, out, run.start, held_out)


@app.command()
def pairs(
    out: OutFolder,
    mouths: Annotated[Path, typer.Option(help="Output folder of `mouths` or `driven`.")],
    count: Annotated[int, typer.Option(min=1, help="Pairs of each clip with several frames.")] = 12,
    leave_out: LeaveOut = None,
    seed: RandomSeed = 0,
) -> None:
    """Make pairs of a warped mouth and the real one."""
    from ..training.animate.window_pairs import WindowPairSettings, write_window_pairs

    files = clips_of(mouths, leave_out or [])
    write_window_pairs({path: count for path in files}, WindowPairSettings(), seed, out)


@app.command()
def animate(
    out: Out,
    config: Config = None,
    pairs: Pairs = None,
    autoencoder: Annotated[Path | None, typer.Option(help="Weights trained by `autoencoder`.")] = None,
    scaling_factor: Annotated[
        float | None, typer.Option(help="The autoencoder's scaling factor, which gives its latents unit variance.")
    ] = None,
    minutes: Minutes = None,
    steps: Steps = None,
    start: Start = None,
    leave_out: LeaveOut = None,
    seed: Seed = None,
    set_: Set = None,
) -> None:
    """Train IdentityNet and AnimateNet on windows, in one denoising step."""
    from ..tensor_files import load_into
    from ..training.animate.window_autoencoder import read_window_autoencoder
    from ..training.animate.windows import WindowAnimateNetworks, train_windows
    from ..training.data.prepare import clip_files
    from ..training.runs import WindowAnimateRun

    options: dict[str, Any] = {"pairs": pairs, "autoencoder": autoencoder, "start": start, "leave_out": leave_out}
    options |= {"network.autoencoder.scaling_factor": scaling_factor, **ends(minutes, steps, seed)}
    run = configured(WindowAnimateRun, "window animate", out, config, options, set_)
    model = WindowAnimateNetworks(run.network, read_window_autoencoder(run.autoencoder, run.network.autoencoder))
    if run.start is not None:
        load_into(model, run.start)
    files = clips_of(run.pairs, run.leave_out)
    held_out = [path for path in clip_files(run.pairs) if path not in files]
    train_windows(files, model, run.network, run.training, out, held_out)


@app.command()
def differences(
    portraits: Annotated[Path, typer.Argument(help="Folder of portraits, and of videos, of which one frame is used.")],
    speech: Annotated[Path, typer.Option(help="Folder of sound files with speech.")],
    out: OutFolder,
    model: Annotated[str, typer.Option(help="Name or file of a model that draws mouth windows.")] = BUILT_IN,
    frames: Annotated[int, typer.Option(min=1, max=100, help="Frames of each portrait.")] = 40,
    leave_out: LeaveOut = None,
    seed: RandomSeed = 0,
) -> None:
    """Let portraits speak, and keep what AnimateNet changes in them: the examples of `difference`."""
    from ..media.source import PICTURES, SOUNDS, VIDEOS
    from ..training.animate.difference import load_window_model, write_differences

    pictures = media_of(portraits, (*PICTURES, *VIDEOS), "pictures or videos", leave_out or [])
    sounds = media_of(speech, SOUNDS, "sound files")
    write_differences(load_window_model(model), pictures, sounds, frames, seed, out)


@app.command()
def difference(
    out: Out,
    config: Config = None,
    differences: Annotated[Path | None, typer.Option(help="Output folder of `differences`.")] = None,
    minutes: Minutes = None,
    steps: Steps = None,
    start: Start = None,
    leave_out: LeaveOut = None,
    seed: Seed = None,
    set_: Set = None,
) -> None:
    """Train a small network that decodes once, in place of the autoencoder's decoder, which is needed twice."""
    from ..training.animate.difference import train_difference_decoder
    from ..training.data.prepare import clip_files
    from ..training.runs import DifferenceRun

    options: dict[str, Any] = {"differences": differences, "start": start, "leave_out": leave_out}
    run = configured(DifferenceRun, "window difference", out, config, {**options, **ends(minutes, steps, seed)}, set_)
    files = clips_of(run.differences, run.leave_out)
    held_out = [path for path in clip_files(run.differences) if path not in files]
    train_difference_decoder(files, run.network, run.autoencoder_network, run.training, out, run.start, held_out)
