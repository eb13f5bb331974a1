"""The options of an animation: those of ``portraittalk animate``, and of each job of ``portraittalk batch``."""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typing_extensions import Self

from ..errors import SettingsError
from .options import Device, FaceIndex, GuidanceScale, Landmarker, Liveliness, Model, ModelsDir, Steps, Strength

if TYPE_CHECKING:
    from ..config import PortraitTalkConfig
    from ..types import SamplingSettings

SMALLEST_MAX_SIZE = 64  # pixels


@dataclass(frozen=True, kw_only=True)
class AnimationSettings:
    """What an animation can be given beside its files; ``batch`` takes the same for all its jobs."""

    prompt: Annotated[str, typer.Option(help="What the face should do, such as 'a wide smile, looking left'.")] = ""
    negative_prompt: Annotated[str, typer.Option(help="What the face should not do, even if the portrait does it.")] = (
        ""
    )
    seed: Annotated[int, typer.Option(help="Random seed; the same seed gives the same video.")] = 0
    fps: Annotated[float, typer.Option(help="Frames per second.")] = 25.0
    steps: Steps = None
    model: Model = "mini"
    models_dir: ModelsDir = None
    device: Device = "auto"
    face_index: FaceIndex = None
    head_motion: Annotated[float, typer.Option(help="Strength of head motion; 0 keeps the head still.")] = 1.0
    expression_strength: Annotated[float, typer.Option(help="Strength of expressions.")] = 1.0
    liveliness: Liveliness = 1.0
    blinks: Annotated[float, typer.Option(help="Blinks per minute on average; 0 for none.")] = 16.0
    identity_scale: Annotated[
        float, typer.Option(help="Scale of the identity branch's cross-attention; 0 switches it off.")
    ] = 1.0
    text_scale: Annotated[
        float, typer.Option(help="Strength of the prompt: cross-attention, expression and look; 0 switches it off.")
    ] = 1.0
    speech_scale: Annotated[
        float,
        typer.Option(
            "--speech-scale", "--audio-scale", help="Scale of the speech branch's cross-attention; 0 switches it off."
        ),
    ] = 1.0
    structure_scale: Annotated[
        float,
        typer.Option(help="Scale of the structure branch's cross-attention (landmarks and pose); 0 switches it off."),
    ] = 1.0
    window: Annotated[
        int | None, typer.Option(help="Frames sampled together; default: the model's own value. Not for mini.")
    ] = None
    overlap: Annotated[
        int | None,
        typer.Option(help="Frames shared by neighbouring windows; default: the model's own value. Not for mini."),
    ] = None
    motion_in: Annotated[
        Path | None, typer.Option(help="Motion track (JSON) to use instead of one generated from the speech.")
    ] = None
    motion_end: Annotated[
        str | None,
        typer.Option(
            help="What happens where --motion-in is shorter than the speech: hold its last frame, loop, or fade to the "
            "portrait as it is. Default: refuse it."
        ),
    ] = None
    motion_edit: Annotated[
        Path | None,
        typer.Option(help="Keyframes or values over time (JSON) that change the motion, read or generated."),
    ] = None
    no_paste_back: Annotated[
        bool, typer.Option("--no-paste-back", help="Write only the face crop instead of the whole picture.")
    ] = False
    preview: Annotated[float | None, typer.Option(metavar="SECONDS", help="Render only the first seconds.")] = None
    max_size: Annotated[
        int, typer.Option(help="Longest side of the picture in pixels; larger pictures are scaled down.")
    ] = 2048
    landmarker: Landmarker = "own"
    fast_decode: Annotated[
        bool, typer.Option("--fast-decode", help="Decode with the model's fast decoder (TAESD), if it has one.")
    ] = False
    precision: Annotated[
        str, typer.Option(help="auto, fp32, fp16 or bf16; auto is fp16 on a GPU and fp32 on the CPU.")
    ] = "auto"
    low_memory: Annotated[
        bool,
        typer.Option(
            "--low-memory", help="Keep networks on the GPU only while they run, and decode frames one at a time."
        ),
    ] = False
    channels_last: Annotated[
        bool, typer.Option("--channels-last", help="Use channels-last memory format: fastest on GPUs in fp16.")
    ] = False
    compiled: Annotated[
        bool, typer.Option("--compile", help="Compile the networks: takes minutes at first, then runs faster.")
    ] = False
    guidance_scale: GuidanceScale = None
    strength: Strength = None


@dataclass(frozen=True, kw_only=True)
class AnimateOptions(AnimationSettings):
    """The options of ``portraittalk animate``, as given by the user."""

    portraits: Annotated[
        list[Path], typer.Argument(metavar="PORTRAIT", help="Pictures of one person; the first one is animated.")
    ]
    audio: Annotated[Path, typer.Option(help="Speech: an audio file, or a video with sound.")]
    out: Annotated[
        Path,
        typer.Option(
            help="Output video; the suffix selects the format: .mp4, .webm, .gif, .webp, or .png for separate frames."
        ),
    ]
    motion_out: Annotated[Path | None, typer.Option(help="File to save the used motion track to (JSON).")] = None
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Keep what is finished in OUT.unfinished, and after an interruption go on from there: repeat the "
            "command.",
        ),
    ] = False

    @property
    def inputs(self) -> list[Path]:
        """The files that are read."""
        optional = (self.motion_in, self.motion_edit)
        return [*self.portraits, self.audio, *(path for path in optional if path is not None)]

    def with_paths(self, change: Callable[[Path], Path]) -> Self:
        """Return the options with every path, of files and folders, read or written, changed."""

        def changed(value: Any) -> Any:
            if isinstance(value, Path):
                return change(value)
            return [changed(one) for one in value] if isinstance(value, list) else value

        return replace(self, **{option.name: changed(getattr(self, option.name)) for option in fields(self)})

    def settings(self, config: "PortraitTalkConfig") -> "SamplingSettings":
        """Return the sampling settings, with the model's defaults for options not given. Raises SettingsError."""
        from ..sampling.settings import chosen_settings
        from ..types import Scales

        if self.strength is not None and config.animate_net.prediction != "epsilon":
            raise SettingsError(f"The model '{self.model}' does not redraw the portrait: remove --strength.")
        return chosen_settings(
            config,
            seed=self.seed,
            scales=Scales(self.identity_scale, self.text_scale, self.speech_scale, self.structure_scale),
            fast_decode=self.fast_decode,
            steps=self.steps,
            guidance_scale=self.guidance_scale,
            strength=self.strength,
            window=self.window,
            overlap=self.overlap,
            chunk=1 if self.low_memory else None,
        )
