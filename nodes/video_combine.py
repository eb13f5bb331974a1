"""Frames and sound, or a video, into a file of the output folder."""

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
from ..portraittalk.progress import Progress
from . import convert
from .host import files
from .host.progress import HostProgress
from .sockets import CATEGORY

FRAMES, VIDEO = "frames", "video"
MP4, WEBM, GIF, WEBP, PNG = "mp4", "webm", "gif", "webp", "png sequence"
KINDS = {MP4: "mp4", WEBM: "webm", GIF: "gif", WEBP: "webp", PNG: "png"}
CHUNK = 8  # frames handed to the encoder between two looks at Cancel


class VideoCombine(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PortraitTalkVideoCombine",
            display_name="PortraitTalk Video Combine",
            category=CATEGORY,
            description=(
                "Saves frames with their sound, or a video, in the output folder and shows it. The file says that it "
                "was generated, and carries the workflow as core's files do."
            ),
            search_aliases=["save video", "export video", "combine", "mp4", "webm", "gif", "webp", "create video"],
            inputs=[
                io.DynamicCombo.Input(
                    "source",
                    options=[
                        io.DynamicCombo.Option(
                            FRAMES,
                            [
                                io.Image.Input("frames", tooltip="The frames, from the sampler or any node after it."),
                                io.Float.Input(
                                    "fps",
                                    default=25.0,
                                    min=1.0,
                                    max=120.0,
                                    step=0.01,
                                    tooltip=(
                                        "Frames a second: connect the sampler's fps, so that sound and picture agree."
                                    ),
                                ),
                                io.Audio.Input(
                                    "audio", optional=True, tooltip="The sound, as it was spoken; may be left out."
                                ),
                            ],
                        ),
                        io.DynamicCombo.Option(
                            VIDEO, [io.Video.Input("video", tooltip="A video with its sound, such as the sampler's.")]
                        ),
                    ],
                    tooltip="What to save: frames with sound beside them, or a video that has both.",
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
                        "mp4 (h264, aac) plays everywhere; webm (vp9, opus) is smaller and slower to make. gif, webp"
                        " and png sequence have no sound."
                    ),
                ),
                io.String.Input(
                    "filename_prefix",
                    default="video/PortraitTalk",
                    tooltip="Name of the file in the output folder, with folders if you like; a number is added.",
                ),
            ],
            outputs=[
                io.Video.Output(
                    "video", display_name="video", tooltip="The saved video; what came in, where it has no sound."
                )
            ],
            hidden=[io.Hidden.prompt, io.Hidden.extra_pnginfo],
            is_output_node=True,
        )

    @classmethod
    def validate_inputs(cls, filename_prefix: str, source: Any = None, format: Any = None) -> bool | str:
        # ComfyUI passes inputs that change with a mode whether they are asked for or not.
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
        "quality", default=80, min=0, max=100, tooltip="100 is best and largest; 80 can hardly be told from it."
    )


def _video(source: dict[str, Any]) -> Input.Video:
    if source["source"] == VIDEO:
        return source["video"]
    components = Types.VideoComponents(
        images=source["frames"], audio=source.get("audio"), frame_rate=Fraction(str(source["fps"]))
    )
    return InputImpl.VideoFromComponents(components)


def _remux(video: Input.Video, path: Path, metadata: dict[str, Any]) -> None:
    """A video that lies in a file already: core copies its streams as they are where it can."""
    part = path.with_name(f"{path.stem}.part{path.suffix}")
    try:
        video.save_to(str(part), Types.VideoContainer.MP4, metadata={"comment": GENERATED, **metadata})
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _encode(video: Input.Video, path: Path, kind: str, quality: int | None, metadata: dict[str, Any]) -> None:
    options: dict[str, Any] = {"kind": kind, "metadata": {key: json.dumps(value) for key, value in metadata.items()}}
    if quality is not None:
        options["quality"] = quality
    if isinstance(video, InputImpl.VideoFromComponents):
        parts = video.get_components()
        sound = None if parts.audio is None else convert.audio_to_library(parts.audio)
        write_video(_watched(_chunks(parts.images), len(parts.images)), path, parts.frame_rate, sound, **options)
        return
    # Through a file of its own, so that core applies a trim and a video of any make can be read frame by frame.
    copy = files.temp_place("PortraitTalk").path(".mp4")
    try:
        _remux(video, copy, {})
        reader = read_video(copy)
        sound = reader.audio() if reader.has_audio else None
        count = round(video.get_duration() * reader.fps)
        write_video(_watched((frame[None] for frame in reader), count), path, reader.fps, sound, **options)
    finally:
        copy.unlink(missing_ok=True)


def _chunks(images: Tensor) -> Iterator[Tensor]:
    """IMAGE (B, H, W, C) -> chunks (n, 3, H, W)."""
    return (convert.to_library(images[start : start + CHUNK]) for start in range(0, len(images), CHUNK))


def _watched(chunks: Iterator[Tensor], count: int) -> Iterator[Tensor]:
    """The chunks of about ``count`` frames, with the progress shown and Cancel heeded after each."""
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
    # The front end plays what is called animated as a video, but for webp: a gif it shows as a picture, which moves.
    return ui.SavedImages([_result(path, subfolder)], is_animated=kind == "webp")


def _result(path: Path, subfolder: str) -> ui.SavedResult:
    return ui.SavedResult(path.name, subfolder, io.FolderType.output)
