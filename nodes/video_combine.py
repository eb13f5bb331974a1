"""The node that saves frames with sound, or a video, to a file in the output folder."""

import json
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

from comfy_api.latest import Input, InputImpl, Types, io, ui
from torch import Tensor

from ..portraittalk.media.reader import read_video
from ..portraittalk.media.tags import GENERATED
from ..portraittalk.media.video import write_video
from ..portraittalk.output_files import atomic_file, explained
from ..portraittalk.progress import Progress
from ..portraittalk.sampling.settings import check_fps
from . import convert
from .host import files
from .host.progress import HostProgress
from .sockets import CATEGORY

FRAMES, VIDEO = "frames", "video"
MP4, WEBM, GIF, WEBP, PNG = "mp4", "webm", "gif", "webp", "png sequence"
KINDS = {MP4: "mp4", WEBM: "webm", GIF: "gif", WEBP: "webp", PNG: "png"}
CHUNK = 8  # frames per chunk sent to the encoder; cancellation is checked after each chunk


class VideoCombine(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PortraitTalkVideoCombine",
            display_name="PortraitTalk Video Combine",
            category=CATEGORY,
            description=(
                "Saves frames with sound, or a video, to the output folder and shows the result. The file carries a tag"
                " that says it was generated and, except for gif, the workflow."
            ),
            search_aliases=["save video", "export video", "combine", "mp4", "webm", "gif", "webp", "create video"],
            inputs=[
                io.DynamicCombo.Input(
                    "source",
                    options=[
                        io.DynamicCombo.Option(
                            FRAMES,
                            [
                                io.Image.Input("frames", tooltip="Frames from the sampler or from any node after it."),
                                io.Float.Input(
                                    "fps",
                                    default=25.0,
                                    min=1.0,
                                    max=120.0,
                                    step=0.01,
                                    tooltip=(
                                        "Frame rate in frames per second: connect the sampler's fps, so that sound and "
                                        "picture stay in sync."
                                    ),
                                ),
                                io.Audio.Input(
                                    "audio",
                                    optional=True,
                                    tooltip=(
                                        "The speech that the frames belong to. Unconnected: the video has no sound."
                                    ),
                                ),
                            ],
                        ),
                        io.DynamicCombo.Option(
                            VIDEO,
                            [io.Video.Input("video", tooltip="Video including its sound, for example the sampler's.")],
                        ),
                    ],
                    tooltip=(
                        "What to save: frames with an optional audio input, or a video that already includes its sound."
                    ),
                ),
                io.DynamicCombo.Input(
                    "format",
                    options=[
                        io.DynamicCombo.Option(MP4, [_quality()]),
                        io.DynamicCombo.Option(WEBM, [_quality()]),
                        io.DynamicCombo.Option(GIF, []),
                        io.DynamicCombo.Option(WEBP, [_quality()]),
                        io.DynamicCombo.Option(PNG, []),
                    ],
                    tooltip=(
                        "mp4 (h264, aac) plays everywhere; webm (vp9, opus) is smaller and encodes more slowly. gif, "
                        "webp and png sequence have no sound; a png sequence gets a folder of its own."
                    ),
                ),
                io.String.Input(
                    "filename_prefix",
                    default="video/PortraitTalk",
                    tooltip="File name in the output folder; may contain folders (folder/name). A number is added.",
                ),
            ],
            outputs=[
                io.Video.Output(
                    "video",
                    display_name="video",
                    tooltip="The saved file for mp4 and webm; for gif, webp and png sequence the input, unchanged.",
                )
            ],
            hidden=[io.Hidden.prompt, io.Hidden.extra_pnginfo],
            is_output_node=True,
        )

    @classmethod
    def validate_inputs(cls, filename_prefix: str, source: Any = None, format: Any = None) -> bool | str:
        # ComfyUI passes the values of dynamic inputs even if they are not in the signature, so they must be accepted.
        return files.prefix_problem(filename_prefix) or True

    @classmethod
    def execute(cls, source: dict[str, Any], format: dict[str, Any], filename_prefix: str) -> io.NodeOutput:
        video = _video(source)
        kind = KINDS[format["format"]]
        place = files.output_place(filename_prefix, *video.get_dimensions())
        path = place.path("" if kind == "png" else f".{kind}")
        metadata = files.workflow_metadata(cls.hidden.prompt, cls.hidden.extra_pnginfo)
        if kind == "mp4" and not isinstance(video, InputImpl.VideoFromComponents):
            _remux(video, path, metadata)
        else:
            _encode(video, path, kind, format.get("quality"), metadata)
        saved = InputImpl.VideoFromFile(str(path)) if kind in ("mp4", "webm") else video
        return io.NodeOutput(saved, ui=_preview(path, place.subfolder, kind))


def _quality() -> io.Input:
    return io.Int.Input(
        "quality",
        default=80,
        min=0,
        max=100,
        tooltip="Encoding quality from 0 (smallest file) to 100 (best). 80 is visually close to 100.",
    )


def _video(source: dict[str, Any]) -> Input.Video:
    if source["source"] == VIDEO:
        return source["video"]
    convert.check_image(source["frames"], "frames")
    check_fps(source["fps"])
    components = Types.VideoComponents(
        images=source["frames"], audio=source.get("audio"), frame_rate=Fraction(str(source["fps"]))
    )
    return InputImpl.VideoFromComponents(components)


def _remux(video: Input.Video, path: Path, metadata: dict[str, Any]) -> None:
    """Save a video as mp4 with ComfyUI's own writer, which copies the streams without re-encoding where possible."""
    with atomic_file(path) as part, explained(path):
        video.save_to(str(part), Types.VideoContainer.MP4, metadata={"comment": GENERATED, **metadata})


def _encode(video: Input.Video, path: Path, kind: str, quality: int | None, metadata: dict[str, Any]) -> None:
    options: dict[str, Any] = {"kind": kind, "metadata": {key: json.dumps(value) for key, value in metadata.items()}}
    if quality is not None:
        options["quality"] = quality
    if isinstance(video, InputImpl.VideoFromComponents):
        parts = video.get_components()
        sound = None if parts.audio is None else convert.audio_to_library(parts.audio)
        write_video(_with_progress(_chunks(parts.images), len(parts.images)), path, parts.frame_rate, sound, **options)
        return
    # Saved to a temporary file first: ComfyUI applies any trim, and the result can be read frame by frame.
    with files.temp_folder() as folder:
        copy = folder / "video.mp4"
        _remux(video, copy, {})
        reader = read_video(copy)
        sound = reader.audio() if reader.has_audio else None
        count = round(video.get_duration() * reader.fps)
        write_video(_with_progress((frame[None] for frame in reader), count), path, reader.fps, sound, **options)


def _chunks(images: Tensor) -> Iterator[Tensor]:
    """Split IMAGE (B, H, W, C) into chunks (n, 3, H, W)."""
    return (convert.to_library(images[start : start + CHUNK], "frames") for start in range(0, len(images), CHUNK))


def _with_progress(chunks: Iterator[Tensor], count: int) -> Iterator[Tensor]:
    """Yield the chunks, about ``count`` frames in total, with a progress update and cancellation check for each."""
    progress = HostProgress()
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
