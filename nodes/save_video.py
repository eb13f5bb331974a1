"""The node that saves frames with sound, or a video, to a file in the output folder, and its former version."""

import json
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

from comfy_api.latest import Input, InputImpl, Types, io, ui
from torch import Tensor

from ..portraittalk.errors import SettingsError
from ..portraittalk.media.reader import read_video
from ..portraittalk.media.sound import Sound, open_audio
from ..portraittalk.media.tags import GENERATED
from ..portraittalk.media.video import write_video
from ..portraittalk.output_files import atomic_file, explained
from ..portraittalk.progress import Progress
from ..portraittalk.sampling.settings import check_fps
from . import convert, widgets
from .host import files
from .host.progress import HostProgress, NodeText
from .sockets import CATEGORY

FRAMES, VIDEO = "frames", "video"
MP4, WEBM, GIF, WEBP, PNG = "mp4", "webm", "gif", "webp", "png sequence"
KINDS = {MP4: "mp4", WEBM: "webm", GIF: "gif", WEBP: "webp", PNG: "png"}
QUALITY = 80  # of a file that is copied as it is where that is possible
CHUNK = 8  # frames per chunk sent to the encoder; cancellation is checked after each chunk
SOUNDLESS = (
    "The frames have no sound: connect the speech to audio, or the sampler's video, which has it, instead of frames."
)


class SaveVideo(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PortraitTalkSaveVideo",
            display_name="PortraitTalk Save Video",
            category=CATEGORY,
            description=(
                "Saves frames with sound, or a video, to the output folder and shows the result. The file carries a tag"
                " that says it was generated and, except for gif, the workflow."
            ),
            search_aliases=[
                "save video",
                "export video",
                "video combine",
                "mp4",
                "webm",
                "gif",
                "webp",
                "create video",
            ],
            inputs=[
                io.Video.Input(
                    "video",
                    optional=True,
                    tooltip="Video including its sound, for example the sampler's. Connect either video or frames.",
                ),
                _frames(optional=True),
                _audio(),
                _fps(),
                _format(),
                _filename_prefix(),
            ],
            outputs=[_output()],
            hidden=[io.Hidden.unique_id, io.Hidden.prompt, io.Hidden.extra_pnginfo],
            is_output_node=True,
        )

    @classmethod
    def validate_inputs(cls, filename_prefix: str, *, format: Any = None) -> bool | str:
        # ComfyUI passes the values of dynamic inputs in any case. As keyword-only parameters they are accepted without
        # being marked as wrong together with the prefix.
        return files.prefix_problem(filename_prefix) or True

    @classmethod
    def execute(
        cls,
        fps: float,
        filename_prefix: str,
        format: dict[str, Any] | None = None,
        video: Input.Video | None = None,
        frames: Tensor | None = None,
        audio: dict[str, Any] | None = None,
    ) -> io.NodeOutput:
        if (video is None) == (frames is None):
            raise SettingsError(
                "Nothing is connected to video or frames: connect one of them."
                if video is None
                else "Both video and frames are connected: disconnect one of them."
            )
        if video is not None and audio is not None:
            raise SettingsError("A video brings its own sound: disconnect audio, or connect frames instead of video.")
        return _save(cls, video or _from_frames(frames, audio, fps), format, filename_prefix)


class VideoCombine(io.ComfyNode):
    """The former version, whose sockets are hidden in a DynamicCombo; kept for workflows that hold it."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PortraitTalkVideoCombine",
            display_name="PortraitTalk Video Combine",
            category=CATEGORY,
            description="Kept for old workflows. In new ones use PortraitTalk Save Video, whose inputs are plain.",
            search_aliases=["video combine"],
            inputs=[
                io.DynamicCombo.Input(
                    "source",
                    options=[
                        io.DynamicCombo.Option(FRAMES, [_frames(), _fps(), _audio()]),
                        io.DynamicCombo.Option(
                            VIDEO,
                            [io.Video.Input("video", tooltip="Video including its sound, for example the sampler's.")],
                        ),
                    ],
                    tooltip=(
                        "What to save: frames with an optional audio input, or a video that already includes its sound."
                    ),
                ),
                _format(),
                _filename_prefix(),
            ],
            outputs=[_output()],
            hidden=[io.Hidden.unique_id, io.Hidden.prompt, io.Hidden.extra_pnginfo],
            is_output_node=True,
            is_deprecated=True,
        )

    @classmethod
    def validate_inputs(cls, filename_prefix: str, *, source: Any = None, format: Any = None) -> bool | str:
        return files.prefix_problem(filename_prefix) or True

    @classmethod
    def execute(
        cls, filename_prefix: str, source: dict[str, Any] | None = None, format: dict[str, Any] | None = None
    ) -> io.NodeOutput:
        source = widgets.chosen("source", source)
        if source["source"] == VIDEO:
            return _save(cls, source["video"], format, filename_prefix)
        return _save(cls, _from_frames(source["frames"], source.get("audio"), source["fps"]), format, filename_prefix)


def _frames(optional: bool = False) -> io.Input:
    return io.Image.Input("frames", optional=optional, tooltip="Frames from the sampler or from any node after it.")


def _fps() -> io.Input:
    return widgets.fps(
        "Frame rate of frames, in frames per second: connect the sampler's fps, so that sound and picture stay in "
        "sync. A video has its own."
    )


def _audio() -> io.Input:
    return io.Audio.Input(
        "audio",
        optional=True,
        tooltip="The speech that the frames belong to. Unconnected: the video has no sound. A video has its own.",
    )


def _format() -> io.Input:
    return io.DynamicCombo.Input(
        "format",
        options=[
            io.DynamicCombo.Option(MP4, [_quality()]),
            io.DynamicCombo.Option(WEBM, [_quality()]),
            io.DynamicCombo.Option(GIF, []),
            io.DynamicCombo.Option(WEBP, [_quality()]),
            io.DynamicCombo.Option(PNG, []),
        ],
        tooltip=(
            "mp4 (h264, aac) plays everywhere; webm (vp9, opus) is smaller and encodes more slowly. gif, webp and png "
            "sequence have no sound; a png sequence gets a folder of its own."
        ),
    )


def _quality() -> io.Input:
    return io.Int.Input(
        "quality",
        default=QUALITY,
        min=0,
        max=100,
        tooltip=(
            "Encoding quality from 0 (smallest file) to 100 (best). 80 is visually close to 100; with 80 an mp4 video "
            "is copied without being encoded again."
        ),
    )


def _filename_prefix() -> io.Input:
    return io.String.Input(
        "filename_prefix",
        default="video/PortraitTalk",
        tooltip="File name in the output folder; may contain folders (folder/name). A number is added.",
    )


def _output() -> io.Output:
    return io.Video.Output(
        "video",
        display_name="video",
        tooltip="The saved file for mp4 and webm; for gif, webp and png sequence the input, unchanged.",
    )


def _from_frames(frames: Tensor | None, audio: dict[str, Any] | None, fps: float) -> Input.Video:
    convert.check_image(frames, "frames")
    check_fps(fps)
    components = Types.VideoComponents(images=frames, audio=audio, frame_rate=Fraction(str(fps)))
    return InputImpl.VideoFromComponents(components)


def _save(node: type[io.ComfyNode], video: Input.Video, format: dict[str, Any] | None, prefix: str) -> io.NodeOutput:
    format = widgets.chosen("format", format)
    kind, quality = KINDS[format["format"]], format.get("quality")
    text = NodeText(node)
    made = isinstance(video, InputImpl.VideoFromComponents)  # of frames in memory; otherwise a file
    if made and kind in ("mp4", "webm") and video.get_components().audio is None:
        text.warn(SOUNDLESS)
    place = files.output_place(prefix, *video.get_dimensions())
    path = place.path("" if kind == "png" else f".{kind}")
    metadata = files.workflow_metadata(node.hidden.prompt, node.hidden.extra_pnginfo)
    if kind == "mp4" and not made and quality == QUALITY:
        _remux(video, path, metadata)
    else:
        _encode(video, path, kind, quality, metadata, HostProgress(text))
    saved = InputImpl.VideoFromFile(str(path)) if kind in ("mp4", "webm") else video
    return io.NodeOutput(saved, ui=_preview(path, place.subfolder, kind))


def _remux(video: Input.Video, path: Path, metadata: dict[str, Any]) -> None:
    """Save a video as mp4 with ComfyUI's own writer, which copies the streams without re-encoding where possible."""
    with atomic_file(path) as part, explained(path):
        video.save_to(str(part), Types.VideoContainer.MP4, metadata={"comment": GENERATED, **metadata})


def _encode(
    video: Input.Video,
    path: Path,
    kind: str,
    quality: int | None,
    metadata: dict[str, Any],
    progress: HostProgress,
) -> None:
    options: dict[str, Any] = {"kind": kind, "metadata": {key: json.dumps(value) for key, value in metadata.items()}}
    if quality is not None:
        options["quality"] = quality
    if isinstance(video, InputImpl.VideoFromComponents):
        parts = video.get_components()
        sound: Sound | None = None if parts.audio is None else convert.audio_to_library(parts.audio)
        write_video(
            _with_progress(_chunks(parts.images), len(parts.images), progress), path, parts.frame_rate, sound, **options
        )
        return
    with files.saved_copy(video) as copy:  # to be read frame by frame
        reader = read_video(copy)
        sound = open_audio(copy) if reader.has_audio else None
        count = round(video.get_duration() * reader.fps)
        write_video(
            _with_progress((frame[None] for frame in reader), count, progress), path, reader.fps, sound, **options
        )


def _chunks(images: Tensor) -> Iterator[Tensor]:
    """Split IMAGE (B, H, W, C) into chunks (n, 3, H, W)."""
    return (convert.to_library(images[start : start + CHUNK], "frames") for start in range(0, len(images), CHUNK))


def _with_progress(chunks: Iterator[Tensor], count: int, progress: HostProgress) -> Iterator[Tensor]:
    """Yield the chunks, about ``count`` frames in total, with a progress update and cancellation check for each."""
    done = 0
    for chunk in chunks:
        done += len(chunk)
        progress(Progress("save", done, max(count, done)))
        yield chunk


def _preview(path: Path, subfolder: str, kind: str) -> ui.PreviewVideo | ui.SavedImages:
    if kind == "png":
        folder = f"{subfolder}/{path.name}".lstrip("/")
        return ui.SavedImages([_result(file, folder) for file in sorted(path.iterdir())])
    if kind in ("mp4", "webm"):
        return ui.PreviewVideo([_result(path, subfolder)])
    # The front end plays any "animated" result except webp as a video; a gif must be shown as a picture to play.
    return ui.SavedImages([_result(path, subfolder)], is_animated=kind == "webp")


def _result(path: Path, subfolder: str) -> ui.SavedResult:
    return ui.SavedResult(path.name, subfolder, io.FolderType.output)
