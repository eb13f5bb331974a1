"""Loader nodes for the speech and the portrait, with a bundled demo for each."""

import torch
from comfy_api.latest import io

from ..portraittalk.media.audio import read_audio
from ..portraittalk.media.image import read_image
from . import convert
from .host import demo, files, models
from .sockets import CATEGORY


class LoadAudio(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PortraitTalkLoadAudio",
            display_name="Load Speech",
            category=CATEGORY,
            description=(
                "Loads speech from an audio or video file in the input folder, or the bundled demo speech, and "
                "optionally cuts a part out of it. Core's Load Audio works as well."
            ),
            search_aliases=["load audio", "voice", "speech", "wav", "mp3", "trim audio"],
            inputs=[
                io.Combo.Input(
                    "audio",
                    options=[demo.SPEECH, *files.list_input_files("audio", "video")],
                    upload=io.UploadType.audio,
                    default=demo.SPEECH,
                    tooltip=(
                        "Audio file, or video file whose sound is used: wav, mp3, m4a, flac, ogg, mp4 and others that "
                        "FFmpeg reads."
                    ),
                ),
                io.Float.Input(
                    "start",
                    default=0.0,
                    min=0.0,
                    max=86400.0,
                    step=0.01,
                    tooltip="Where to start in the file, in seconds. 0: from the beginning.",
                ),
                io.Float.Input(
                    "duration",
                    default=0.0,
                    min=0.0,
                    max=86400.0,
                    step=0.01,
                    tooltip=(
                        "Length of the part to use, in seconds. 0: to the end of the file; 2 makes a quick preview."
                    ),
                ),
            ],
            outputs=[
                io.Audio.Output(
                    "audio", display_name="audio", tooltip="The speech, with the file's sample rate and channels."
                )
            ],
        )

    @classmethod
    def validate_inputs(cls, audio: str) -> bool | str:
        return demo.file_problem(audio) or True

    @classmethod
    def fingerprint_inputs(cls, audio: str, start: float, duration: float) -> str:
        return files.fingerprint(demo.file(audio))

    @classmethod
    def execute(cls, audio: str, start: float, duration: float) -> io.NodeOutput:
        sound = read_audio(demo.file(audio), start, duration or None)
        return io.NodeOutput(convert.audio_to_comfy(sound))


class LoadPortrait(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PortraitTalkLoadPortrait",
            display_name="Load Portrait",
            category=CATEGORY,
            description=(
                "Loads the portrait from the input folder, or the bundled demo portrait. Core's Load Image works as "
                "well."
            ),
            search_aliases=["load image", "face", "portrait", "photo", "character"],
            inputs=[
                io.Combo.Input(
                    "image",
                    options=[demo.PORTRAIT, *files.list_input_files("image")],
                    upload=io.UploadType.image,
                    default=demo.PORTRAIT,
                    tooltip=(
                        "Picture with a face, best about 200 pixels or more across and turned towards the camera. Any "
                        "size and colour mode; the EXIF rotation of phone cameras is applied."
                    ),
                ),
            ],
            outputs=[
                io.Image.Output("image", display_name="image", tooltip="The whole picture, turned upright."),
                io.Mask.Output(
                    "mask",
                    display_name="mask",
                    tooltip=(
                        "1 where the picture is transparent or painted in the mask editor, 0 elsewhere: can mark the "
                        "face for PortraitTalk Identity Encode."
                    ),
                ),
            ],
        )

    @classmethod
    def validate_inputs(cls, image: str) -> bool | str:
        return demo.file_problem(image) or True

    @classmethod
    def fingerprint_inputs(cls, image: str) -> str:
        return files.fingerprint(demo.file(image))

    @classmethod
    def execute(cls, image: str) -> io.NodeOutput:
        picture = read_image(demo.file(image), max_side=None)
        device = models.output_device()
        pixels = convert.to_comfy(picture.pixels[None], device)
        opaque = torch.ones(1, *pixels.shape[1:3]) if picture.alpha is None else picture.alpha
        return io.NodeOutput(pixels, convert.mask_to_comfy(opaque).to(device))
