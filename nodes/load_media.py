"""Loads the two things that the user brings, a portrait and a speech; the bundled demo stands in for both."""

from pathlib import Path

import torch
from comfy_api.latest import io, ui

from ..portraittalk.media.audio import read_audio
from ..portraittalk.media.image import read_image
from . import convert
from .host import files, models
from .sockets import CATEGORY

DEMO = Path(__file__).parents[1] / "portraittalk" / "assets" / "demo"
DEMO_SPEECH, DEMO_SPEECH_FILE = "demo speech (built in)", DEMO / "speech.wav"
DEMO_PORTRAIT, DEMO_PORTRAIT_FILE = "demo portrait (built in)", DEMO / "portrait.jpg"


class LoadAudio(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PortraitTalkLoadAudio",
            display_name="Load Speech",
            category=CATEGORY,
            description=(
                "Loads speech from a sound or video file of the input folder, or the demo speech of the pack, and "
                "cuts a part out of it if you like. Core's Load Audio works as well."
            ),
            search_aliases=["load audio", "voice", "speech", "wav", "mp3", "trim audio"],
            inputs=[
                io.Combo.Input(
                    "audio",
                    options=[DEMO_SPEECH, *files.list_input_files("audio", "video")],
                    upload=io.UploadType.audio,
                    default=DEMO_SPEECH,
                    tooltip="Any sound file, or a video whose sound is used: wav, mp3, m4a, flac, ogg, mp4 and more.",
                ),
                io.Float.Input(
                    "start",
                    default=0.0,
                    min=0.0,
                    max=86400.0,
                    step=0.01,
                    tooltip="Second of the file at which the speech begins.",
                ),
                io.Float.Input(
                    "duration",
                    default=0.0,
                    min=0.0,
                    max=86400.0,
                    step=0.01,
                    tooltip="Seconds to take; 0 takes everything to the end. A second or two makes a quick preview.",
                ),
            ],
            outputs=[
                io.Audio.Output("audio", display_name="audio", tooltip="The speech, at its own rate and channels.")
            ],
        )

    @classmethod
    def validate_inputs(cls, audio: str) -> bool | str:
        return True if audio == DEMO_SPEECH else files.stored_file_problem(audio) or True

    @classmethod
    def fingerprint_inputs(cls, audio: str, start: float, duration: float) -> str:
        return files.fingerprint(_path(audio, DEMO_SPEECH, DEMO_SPEECH_FILE))

    @classmethod
    def execute(cls, audio: str, start: float, duration: float) -> io.NodeOutput:
        sound = read_audio(_path(audio, DEMO_SPEECH, DEMO_SPEECH_FILE), start, duration or None)
        return io.NodeOutput(convert.audio_to_comfy(sound))


class LoadPortrait(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PortraitTalkLoadPortrait",
            display_name="Load Portrait",
            category=CATEGORY,
            description=(
                "Loads a picture of the input folder, or the demo portrait of the pack. Core's Load Image works as "
                "well."
            ),
            search_aliases=["load image", "face", "portrait", "photo", "character"],
            inputs=[
                io.Combo.Input(
                    "image",
                    options=[DEMO_PORTRAIT, *files.list_input_files("image")],
                    upload=io.UploadType.image,
                    default=DEMO_PORTRAIT,
                    tooltip=(
                        "A picture with a face that is not too small: about 200 pixels across or more. Any size and any"
                        " mode; a phone's rotation is applied."
                    ),
                ),
            ],
            outputs=[
                io.Image.Output("image", display_name="image", tooltip="The whole picture."),
                io.Mask.Output(
                    "mask",
                    display_name="mask",
                    tooltip="1 where the picture is transparent: paint it in the mask editor.",
                ),
            ],
        )

    @classmethod
    def validate_inputs(cls, image: str) -> bool | str:
        return True if image == DEMO_PORTRAIT else files.stored_file_problem(image) or True

    @classmethod
    def fingerprint_inputs(cls, image: str) -> str:
        return files.fingerprint(_path(image, DEMO_PORTRAIT, DEMO_PORTRAIT_FILE))

    @classmethod
    def execute(cls, image: str) -> io.NodeOutput:
        picture = read_image(_path(image, DEMO_PORTRAIT, DEMO_PORTRAIT_FILE), max_side=None)
        device = models.output_device()
        pixels = convert.to_comfy(picture.pixels[None], device)
        opaque = torch.ones(1, *pixels.shape[1:3]) if picture.alpha is None else picture.alpha
        # The front end shows pictures of the input folder by itself, before the run; the demo is not among them.
        preview = ui.PreviewImage(pixels, cls=cls) if image == DEMO_PORTRAIT else None
        return io.NodeOutput(pixels, convert.mask_to_comfy(opaque).to(device), ui=preview)


def _path(name: str, demo: str, demo_file: Path) -> Path:
    return demo_file if name == demo else files.stored_file(name)
