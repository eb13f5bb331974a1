"""The node that measures how well a talking face follows its speech."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from comfy_api.latest import io
from torch import Tensor

from ..portraittalk.face.providers import provider_named
from ..portraittalk.metrics.dynamics import load_dynamics
from ..portraittalk.metrics.judge import judge, looked_at
from ..portraittalk.metrics.lip_sync import SIZE
from ..portraittalk.metrics.metric_nets import load_metric_nets
from ..portraittalk.sampling.settings import check_fps
from . import convert, widgets
from .host import models
from .host.progress import HostProgress, NodeText
from .sockets import CATEGORY


@dataclass(frozen=True)
class Frames:
    """An IMAGE resampled to 25 frames per second, as the metrics read it; can be iterated repeatedly."""

    images: Tensor
    fps: float

    def __iter__(self) -> Iterator[Tensor]:
        for index in looked_at(len(self.images), self.fps):
            yield convert.to_library(self.images[index][None], "frames")[0]


class Evaluate(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PortraitTalkEvaluate",
            display_name="PortraitTalk Evaluate",
            category=CATEGORY,
            description=(
                "Measures how well the lips, jaw and cheeks of a talking face follow its speech (ADFD, and lip-sync "
                "scores if SyncNet's weights are installed). Works on any video, whichever tool made it."
            ),
            search_aliases=["lip sync score", "adfd", "syncnet", "quality", "benchmark", "metric"],
            inputs=[
                io.Image.Input(
                    "frames", tooltip="Frames to evaluate, whole pictures or face crops; at least one second."
                ),
                io.Audio.Input("audio", tooltip="The speech that belongs to the frames; at least one second."),
                widgets.fps("Frame rate of the input, in frames per second: connect the sampler's fps."),
            ],
            outputs=[
                io.Float.Output(
                    "adfd",
                    display_name="adfd",
                    tooltip=(
                        "How well the face follows the speech, 0 to 1. Filmed people score 0.4 to 0.5, a still picture "
                        "0."
                    ),
                ),
                io.String.Output(
                    "report", display_name="report", tooltip=("All measured values as text, one per line.")
                ),
            ],
            hidden=[io.Hidden.unique_id],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, frames: Tensor, audio: dict[str, Any], fps: float) -> io.NodeOutput:
        convert.check_image(frames, "frames")
        check_fps(fps)
        text = NodeText(cls)
        sound, provider = convert.audio_to_library(audio), provider_named("own")
        syncnet = load_metric_nets(models.metric_folders(), names=("syncnet",)).syncnet
        patcher = None if syncnet is None else models.managed(syncnet, 4 * SIZE**2)
        result = judge(Frames(frames, fps), sound, provider, load_dynamics(), HostProgress(text), syncnet)
        del patcher
        report = result.sentences()
        text.add(report)
        return io.NodeOutput(result.dynamics.score, report, ui={"text": (report,)})
