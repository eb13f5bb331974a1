"""The command line: ``portraittalk animate | edit | evaluate | benchmark | check-prompts | prepare | train | weights``.

Exit codes: 0 when done, 2 for a mistake that one sentence on stderr explains, 130 when interrupted.
"""

import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from ..errors import PortraitTalkError, SettingsError
from .edit import app as edit_app
from .measure import app as metrics_app
from .train_adfd import app as adfd_app
from .train_animate import app as train_app
from .train_face import app as face_app
from .train_looks import app as look_app
from .train_text import app as text_app
from .weights import app as weights_app

SMALLEST_MAX_SIZE = 64  # pixels

app = typer.Typer(add_completion=False, no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False)
app.add_typer(weights_app, name="weights")
train_app.add_typer(adfd_app, name="adfd")
train_app.add_typer(face_app, name="face")
train_app.add_typer(look_app, name="look")
train_app.add_typer(text_app, name="text")
app.add_typer(train_app, name="train")
app.add_typer(edit_app)  # edit
app.add_typer(metrics_app)  # evaluate, benchmark, check-prompts

Model = Annotated[str, typer.Option(help="Name of the model: 'mini', or a file of --models-dir without its suffix.")]
Landmarker = Annotated[str, typer.Option(help="What finds the face: own, or mediapipe (an extra).")]
ModelsDir = Annotated[Path | None, typer.Option(envvar="PORTRAITTALK_MODELS", help="Folder of further models.")]
Guidance = Annotated[
    float | None, typer.Option(help="How strongly prompts are followed by models that read them themselves; 1 is off.")
]
Strength = Annotated[
    float | None, typer.Option(help="How far such models go from the portrait: 0 keeps it, 1 keeps the person only.")
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")]


def main() -> None:
    """What the ``portraittalk`` script runs."""
    try:
        app()
    except PortraitTalkError as error:
        typer.echo(f"Error: {error}", err=True)
        sys.exit(2)


@app.callback()
def _app() -> None:
    """One portrait and one speech clip become a talking-face video."""
    from .terminal import show_warnings

    show_warnings()


@app.command()
def animate(
    portraits: Annotated[
        list[Path], typer.Argument(metavar="PORTRAIT", help="Pictures of one person; the first talks.")
    ],
    audio: Annotated[Path, typer.Option(help="The speech: any sound file, or a video with sound.")],
    out: Annotated[
        Path, typer.Option(help="The video; its suffix says the format: mp4, webm, gif, webp; png for frames.")
    ],
    prompt: Annotated[str, typer.Option(help="What the face does, such as 'a wide smile, looking left'.")] = "",
    negative_prompt: Annotated[str, typer.Option(help="What the face is not to do, even if the portrait does.")] = "",
    seed: Annotated[int, typer.Option(help="The same seed gives the same video.")] = 0,
    fps: Annotated[float, typer.Option(help="Frames a second.")] = 25.0,
    steps: Annotated[int | None, typer.Option(help="Denoising steps; mini is trained for one to four.")] = None,
    model: Model = "mini",
    models_dir: ModelsDir = None,
    device: Device = "auto",
    face_index: Annotated[int | None, typer.Option(help="Which face of the portrait; 0 is the largest.")] = None,
    head_motion: Annotated[float, typer.Option(help="Strength of the head's motion; 0 holds it still.")] = 1.0,
    expression_strength: Annotated[float, typer.Option(help="Strength of the expressions.")] = 1.0,
    identity_scale: Annotated[float, typer.Option(help="Strength of the identity branch; 0 switches it off.")] = 1.0,
    text_scale: Annotated[float, typer.Option(help="Strength of the prompt; 0 switches it off.")] = 1.0,
    audio_scale: Annotated[float, typer.Option(help="Strength of the speech branch; 0 switches it off.")] = 1.0,
    motion_in: Annotated[
        Path | None, typer.Option(help="A motion track (JSON), instead of one made from the speech.")
    ] = None,
    motion_out: Annotated[
        Path | None, typer.Option(help="Where to save the motion track that was used (JSON).")
    ] = None,
    no_paste_back: Annotated[
        bool, typer.Option("--no-paste-back", help="Write the face crop, not the picture.")
    ] = False,
    preview: Annotated[float | None, typer.Option(metavar="SECONDS", help="Only the first seconds.")] = None,
    max_size: Annotated[int, typer.Option(help="Longest side of the picture; larger ones are reduced.")] = 2048,
    landmarker: Landmarker = "own",
    fast_decode: Annotated[bool, typer.Option("--fast-decode", help="Decode with the model's TAESD, if any.")] = False,
    precision: Annotated[str, typer.Option(help="auto, fp32, fp16 or bf16; auto is fp16 on a GPU.")] = "auto",
    low_memory: Annotated[
        bool, typer.Option("--low-memory", help="Networks are on the GPU only while they work; frames decoded singly.")
    ] = False,
    channels_last: Annotated[
        bool, typer.Option("--channels-last", help="Keep pictures as GPUs convolve them fastest in fp16.")
    ] = False,
    compiled: Annotated[
        bool, typer.Option("--compile", help="Compile the networks: minutes at first, then faster.")
    ] = False,
    guidance: Guidance = None,
    strength: Strength = None,
) -> None:
    """Make a portrait speak."""
    from .. import pipeline
    from ..face.providers import provider_named
    from ..face.select import FaceChoice
    from ..media.audio import frame_count, read_audio
    from ..media.image import read_image
    from ..media.video import write_video
    from ..memory.estimate import STAGES
    from ..motion.speech_to_motion import speech_to_motion
    from ..motion.track import MotionTrack
    from ..motion.transform import resample, scale
    from ..sampling.settings import check_fps, check_number, check_settings, usual_settings
    from ..types import Scales
    from ..weights.files import find_weights, usual_folder
    from ..weights.load import read_config
    from ..weights.model import ReferenceModel
    from .machine import Machine
    from .terminal import ProgressBars, summary

    check_fps(fps)
    check_number("head motion", head_motion)
    check_number("expression strength", expression_strength)
    if max_size < SMALLEST_MAX_SIZE:
        raise SettingsError(f"The longest side must be at least {SMALLEST_MAX_SIZE} pixels, not {max_size}.")
    if motion_out is not None and not motion_out.parent.is_dir():
        raise SettingsError(f"The motion cannot be saved: there is no folder {motion_out.parent}.")
    provider = provider_named(landmarker)
    folder = models_dir or usual_folder()
    path = find_weights(model, [] if folder is None else [folder])
    config, scales = read_config(path), Scales(identity_scale, text_scale, audio_scale)
    hears = "speech" in config.animate_net.branches and config.animate_net.reference_attention
    if hears and (prompt or negative_prompt or motion_in or motion_out):
        raise SettingsError(f"The model '{model}' makes its motion itself: leave out prompts and motion tracks.")
    if strength is not None and config.animate_net.prediction != "epsilon":
        raise SettingsError(f"The model '{model}' does not draw the portrait anew: leave the strength out.")
    usual = usual_settings(config)
    settings = replace(
        usual,
        seed=seed,
        scales=scales,
        fast_decode=fast_decode,
        chunk=1 if low_memory else usual.chunk,
        steps=usual.steps if steps is None else steps,
        guidance_scale=usual.guidance_scale if guidance is None else guidance,
        strength=usual.strength if strength is None else strength,
    )
    check_settings(settings, config)
    images = [read_image(path, max_size).flattened() for path in portraits]
    sound = read_audio(audio, duration=preview)
    count = frame_count(sound.samples, sound.sample_rate, fps)
    frame = (0, 0) if no_paste_back else pipeline.image_size(images[0])
    networks, place = Machine(device, precision, low_memory, channels_last, compiled).load(
        path, config, settings, count, frame, len(images)
    )
    place(*STAGES["prompt"])
    style = pipeline.encode_style(networks, prompt, negative_prompt)
    given = None if motion_in is None else MotionTrack.load(motion_in)
    started = time.perf_counter()
    with ProgressBars() as progress:
        place(*STAGES["reference"])
        identity = pipeline.encode_identity(networks, images, FaceChoice(index=face_index), provider, progress=progress)
        place(*STAGES["speech"])
        speech = pipeline.hear(networks, sound, fps, progress)
        place(*STAGES["denoise"])
        output: pipeline.Output = "crop" if no_paste_back else "full"
        if isinstance(networks, ReferenceModel) and networks.speech_encoder is not None:
            frames = pipeline.animate_by_speech(networks, identity, speech, settings, output, progress)
        else:
            motion_net, _ = pipeline.face_motion(networks)
            if given is None:
                motion = speech_to_motion(motion_net, speech, seed, head_motion, expression_strength, progress)
            else:
                motion = scale(resample(given, fps), expression_strength, head_motion)
            frames = pipeline.animate(networks, identity, speech, style, motion, settings, output, progress)
        write_video(frames, out, fps, sound)
    if motion_out is not None:
        motion[: len(speech)].save(motion_out)
    typer.echo(f"{out}: {summary(len(speech), fps, time.perf_counter() - started)}")


@app.command()
def prepare(
    folder: Annotated[Path, typer.Argument(help="Folder of talking-head videos and portraits.")],
    out: Annotated[Path, typer.Option(help="Folder of clips to write; what a former run finished is kept.")],
    workers: Annotated[int, typer.Option(min=1, help="Sources that are worked on at once.")] = 1,
    fps: Annotated[float | None, typer.Option(help="Frames a second of the clips, if not the videos' own.")] = None,
    shortest: Annotated[float, typer.Option(help="Seconds; shorter stretches are dropped.")] = 1.0,
    longest: Annotated[float, typer.Option(help="Seconds; longer stretches are split.")] = 10.0,
    eyes: Annotated[float, typer.Option(help="Least distance of the outer eye corners, in pixels.")] = 48.0,
    landmarker: Landmarker = "own",
) -> None:
    """Make a data set to train on: cleaned, cropped, tracked clips; report.json says what was dropped."""
    from ..config import MINI
    from ..training.data.clean import CleanRules
    from ..training.data.prepare import PrepareSettings, summarised
    from ..training.data.prepare import prepare as run
    from .terminal import ProgressBars, dropped_table

    if not folder.is_dir():
        raise SettingsError(f"There is no folder {folder}: give one that holds videos or portraits.")
    if not 0 < shortest <= longest:
        raise SettingsError(f"Clips cannot last from {shortest:g} to {longest:g} seconds: swap or change the two.")
    rules = CleanRules(seconds=(shortest, longest), eyes=eyes)
    with ProgressBars() as bars:
        reports = run(folder, out, PrepareSettings(MINI, rules, fps, landmarker), workers, bars)
    typer.echo(dropped_table(summarised(reports)))
