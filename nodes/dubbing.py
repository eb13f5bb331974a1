"""The node that makes the face of a film speak another sound."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from comfy_api.latest import Input, InputImpl, io

from ..portraittalk.media.reader import read_video
from ..portraittalk.sampling.settings import chosen_settings
from . import convert, widgets
from .host import files, models
from .host.progress import HostProgress, NodeText
from .sockets import CATEGORY, ModelSocket

if TYPE_CHECKING:
    from ..portraittalk.pipelines.dubbing import Film


class Dub(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PortraitTalkDub",
            display_name="PortraitTalk Dub Video",
            category=CATEGORY,
            description=(
                "Makes the face in a video speak other audio: its mouth is redrawn, while head, eyes and background "
                "stay as they are."
            ),
            search_aliases=["dubbing", "lip sync", "wav2lip", "latentsync", "video to video", "translate video"],
            inputs=[
                ModelSocket.Input("model", tooltip="The loaded model: mini."),
                io.Video.Input(
                    "video", tooltip="Video with a face; the largest one is followed. Its own sound is dropped."
                ),
                io.Audio.Input(
                    "audio",
                    tooltip=(
                        "What the face says. It is cut to the length of the video; if it is shorter, silence follows."
                    ),
                ),
                widgets.seed("Seed of motion and sampling; the same seed gives the same frames."),
                widgets.amount("expression_strength", "Amplitude of the mouth's motion: 1 is natural."),
            ],
            outputs=[io.Video.Output("video", display_name="video", tooltip="The video with its new mouth and sound.")],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(
        cls, model: models.LoadedModel, video: Input.Video, audio: Any, seed: int, expression_strength: float
    ) -> io.NodeOutput:
        from ..portraittalk.pipelines.dubbing import check_dubs, dub

        check_dubs(model.model.config)
        sound = convert.audio_to_library(audio, "audio")
        settings = chosen_settings(model.model.config, seed=seed)
        pipeline = model.ready(settings.window, None)
        text = NodeText(cls)
        with text.with_warnings(), _film(video) as film:
            dubbed = dub(
                pipeline, film, sound, settings, expression_strength=expression_strength, progress=HostProgress(text)
            )
            text.add(f"{len(dubbed)} frames, {len(dubbed) / dubbed.fps:.2f} s")
            return io.NodeOutput(files.write_temp_video(dubbed, dubbed.audio, dubbed.fps))


@contextmanager
def _film(video: Input.Video) -> Iterator["Film"]:
    """Provide the frames of a VIDEO, read from a file one by one unless they are in memory already."""
    from ..portraittalk.pipelines.dubbing import Pictures

    if isinstance(video, InputImpl.VideoFromComponents):
        parts = video.get_components()
        yield Pictures(convert.to_library(parts.images, "video"), float(parts.frame_rate))
        return
    with files.saved_copy(video) as copy:
        yield read_video(copy)
