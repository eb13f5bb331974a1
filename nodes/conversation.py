"""The node that makes several people of one picture talk to each other."""

from typing import Any

from comfy_api.latest import io
from torch import Tensor

from ..portraittalk.errors import SettingsError
from ..portraittalk.face.select import FaceChoice
from ..portraittalk.media.audio import frame_count
from ..portraittalk.sampling.settings import chosen_settings
from ..portraittalk.types import image_size
from . import convert, widgets
from .host import files, models
from .host.progress import HostProgress, NodeText
from .sockets import CATEGORY, ModelSocket

FROM_LEFT, LARGEST_FIRST, NUMBERS = "left to right", "largest first", "numbers"
TURNS, TOGETHER = "one after the other", "together"
MOST_SPEAKERS = 6


class Conversation(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        speech = io.Audio.Input("audio", tooltip="What one person says.")
        return io.Schema(
            node_id="PortraitTalkConversation",
            display_name="PortraitTalk Conversation",
            category=CATEGORY,
            description=(
                "Lets several people in one picture talk to each other, each with their own speech. Whoever is not "
                "speaking listens: blinks, looks at the speaker and nods now and then. The voices are mixed."
            ),
            search_aliases=["several people", "multi person", "two speakers", "dialogue", "podcast", "multitalk"],
            inputs=[
                ModelSocket.Input("model", tooltip="The loaded model."),
                io.Image.Input("image", tooltip="Picture with a face for each speech; the first one of a batch."),
                io.Autogrow.Input(
                    "audios",
                    template=io.Autogrow.TemplatePrefix(speech, prefix="audio", min=2, max=MOST_SPEAKERS),
                    tooltip="One speech per person, in the order of faces.",
                ),
                io.Combo.Input(
                    "timing",
                    options=[TURNS, TOGETHER],
                    default=TURNS,
                    tooltip=(
                        f"'{TURNS}': each speech begins after the one before. '{TOGETHER}': all start with the video, "
                        "and each is silent while others speak, as in recordings with one microphone per person."
                    ),
                ),
                io.DynamicCombo.Input(
                    "faces",
                    options=[
                        io.DynamicCombo.Option(FROM_LEFT, []),
                        io.DynamicCombo.Option(LARGEST_FIRST, []),
                        io.DynamicCombo.Option(
                            NUMBERS,
                            [
                                io.String.Input(
                                    "numbers",
                                    default="0, 1",
                                    tooltip=(
                                        "Face number for each speech, separated by commas; 0 is the largest face, 1 "
                                        "the next. The preview of PortraitTalk Identity Encode shows the numbers."
                                    ),
                                )
                            ],
                        ),
                    ],
                    tooltip=f"Which face speaks which speech. '{FROM_LEFT}': the leftmost face speaks the first.",
                ),
                io.String.Input(
                    "prompts",
                    multiline=True,
                    default="",
                    tooltip="What each person's face does, one line per person; an empty line asks for nothing.",
                ),
                widgets.seed("Seed of motion and sampling; the same seed gives the same frames."),
                widgets.fps("Frame rate of the video, in frames per second; 25 is typical."),
                widgets.amount(
                    "head_motion",
                    "Amount of head motion, turns to the speaker included: 1 is natural, 0 holds heads still.",
                ),
                widgets.amount(
                    "liveliness", "How lively the people are: 0 is still, 1 natural speakers, 2 lively ones."
                ),
            ],
            outputs=[io.Video.Output("video", display_name="video", tooltip="Whole pictures with all voices.")],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(
        cls,
        model: models.LoadedModel,
        image: Tensor,
        audios: dict[str, Any],
        timing: str,
        prompts: str,
        seed: int,
        fps: float,
        head_motion: float,
        liveliness: float,
        faces: dict[str, Any] | None = None,
    ) -> io.NodeOutput:
        from ..portraittalk.pipelines.conversation import Speaker, converse, in_turns

        picture = convert.to_library(image[:1], "image")[0]
        voices = [convert.audio_to_library(audio, name) for name, audio in audios.items()]
        if timing == TURNS:
            voices = in_turns(voices)
        wanted = _lines(prompts, len(voices))
        settings = chosen_settings(model.model.config, seed=seed)
        count = max(frame_count(voice.samples, voice.sample_rate, fps) for voice in voices)
        pipeline = model.ready(settings.window, model.working_memory(count, settings, image_size(picture), len(voices)))
        text = NodeText(cls)
        text.add(f"{count} frames of {picture.shape[-1]}x{picture.shape[-2]}, {count / fps:.2f} s")
        with text.with_warnings():
            speakers = [
                Speaker(voice, face, prompt)
                for voice, face, prompt in zip(
                    voices, _choices(widgets.chosen("faces", faces), picture, len(voices)), wanted, strict=True
                )
            ]
            conversation = converse(
                pipeline,
                picture,
                speakers,
                settings,
                fps=fps,
                head_motion=head_motion,
                liveliness=liveliness,
                progress=HostProgress(text),
            )
            return io.NodeOutput(files.write_temp_video(conversation, conversation.audio, fps))


def _lines(prompts: str, count: int) -> list[str]:
    lines = [line.strip() for line in prompts.splitlines()]
    if len(lines) > count and any(lines[count:]):
        raise SettingsError(f"prompts has {len(lines)} lines for {count} speeches: write one line per person.")
    return (lines + [""] * count)[:count]


def _choices(faces: dict[str, Any], picture: Tensor, count: int) -> list[FaceChoice]:
    """Return the face of each speech, as the widgets say."""
    from ..portraittalk.pipelines.conversation import faces_from_left

    if faces["faces"] == FROM_LEFT:
        return faces_from_left(picture, count)
    if faces["faces"] == LARGEST_FIRST:
        return [FaceChoice(index=index) for index in range(count)]
    numbers = [part.strip() for part in faces["numbers"].split(",")]
    if len(numbers) != count or not all(number.isdecimal() for number in numbers):
        raise SettingsError(
            f"The input 'numbers' must hold {count} numbers with commas between them, one per speech, not "
            f"'{faces['numbers']}'."
        )
    return [FaceChoice(index=int(number)) for number in numbers]
