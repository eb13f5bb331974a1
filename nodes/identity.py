"""The node that encodes a person's identity from one or more pictures."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from comfy_api.latest import io, ui
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ..portraittalk.checks import check_real, check_whole
from ..portraittalk.errors import FaceError
from ..portraittalk.face.align import from_crop
from ..portraittalk.face.comfy_landmarks import faces_from_comfyui
from ..portraittalk.face.detect import FaceProvider
from ..portraittalk.face.providers import provider_named
from ..portraittalk.face.search import area
from ..portraittalk.face.select import FaceChoice
from ..portraittalk.media.image import LARGEST_SIDE, limit_size
from ..portraittalk.types import Face, Identity, image_size
from . import convert, widgets
from .host import models
from .host.progress import HostProgress, NodeText
from .sockets import CATEGORY, FaceLandmarksSocket, IdentitySocket, ModelSocket

LARGEST, NUMBER, BOX, MASK, LANDMARKS = "largest face", "face number", "box", "mask", "face landmarks"
MAX_REFERENCES = 8
MARK_COLOUR, NUMBER_COLOUR = (64, 224, 120), (255, 200, 60)
NUMBER_SIZE = 0.05  # height of a face's number, of the preview's longer side


class IdentityEncode(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        reference = io.Image.Input(
            "reference", tooltip="Picture of the person; every picture of a batch counts as one."
        )
        return io.Schema(
            node_id="PortraitTalkIdentityEncode",
            display_name="PortraitTalk Identity Encode",
            category=CATEGORY,
            description=(
                "Detects and encodes the face in one or more pictures of the same person. The first picture is the "
                "portrait that is animated; another one with an open mouth shows the teeth."
            ),
            search_aliases=["face", "reference", "portrait", "face detection", "ip adapter", "identity"],
            inputs=[
                ModelSocket.Input("model", tooltip="The loaded model, the same as in the sampler."),
                io.Autogrow.Input(
                    "references",
                    template=io.Autogrow.TemplatePrefix(reference, prefix="reference", min=1, max=MAX_REFERENCES),
                    tooltip=(
                        "Pictures of one person, up to 8 inputs; the first one is the portrait that is animated. A "
                        "further picture with an open mouth provides the teeth."
                    ),
                ),
                io.DynamicCombo.Input(
                    "face",
                    options=_face_options(),
                    tooltip=(
                        "How to select the face in the portrait; in the other pictures the largest face is used. The "
                        "preview on the node outlines it."
                    ),
                ),
                io.Int.Input(
                    "max_side",
                    default=LARGEST_SIDE,
                    min=0,
                    max=16384,
                    step=64,
                    advanced=True,
                    tooltip=(
                        "Longest allowed side of the portrait, and so of the video, in pixels; larger pictures are "
                        "reduced. 2048 is typical, 0 keeps the full size."
                    ),
                ),
            ],
            outputs=[
                IdentitySocket.Output(
                    "identity",
                    display_name="identity",
                    tooltip="The encoded person, for the sampler or Identity Edit.",
                )
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(
        cls,
        model: models.LoadedModel,
        references: dict[str, Tensor],
        max_side: int,
        face: dict[str, Any] | None = None,
    ) -> io.NodeOutput:
        face = widgets.chosen("face", face)
        check_whole("The input 'max_side'", max_side, 0)
        originals = [picture for name, image in references.items() for picture in convert.to_library(image, name)]
        pictures = [limit_size(picture, max_side) if max_side else picture for picture in originals]
        choice = _choice(face, pictures[0], scale=pictures[0].shape[-1] / originals[0].shape[-1])
        faces = _faces_from_landmarks(face["landmarks"], originals, pictures) if face["face"] == LANDMARKS else None
        text, landmarker = NodeText(cls), _Landmarker()
        with text.with_warnings():
            identity = model.ready().encode_identity(
                pictures, choice, landmarker, faces=faces, progress=HostProgress(text)
            )
        identity = identity.to(models.output_device())
        preview = _draw_preview(identity, landmarker.faces if faces is None else faces[0])
        return io.NodeOutput(identity, ui=ui.PreviewImage(convert.to_comfy(preview[None]), cls=cls))


class _Landmarker:
    """Our own landmarker; ``faces`` are those of the first picture that it was called for, the portrait."""

    def __init__(self) -> None:
        self.faces: list[Face] = []
        self._provider: FaceProvider | None = None

    def __call__(self, image: Tensor) -> list[Face]:
        first = self._provider is None
        self._provider = self._provider or provider_named("own")
        faces = self._provider(image)
        if first:
            self.faces = faces
        return faces


def _face_options() -> list[io.DynamicCombo.Option]:
    number = io.Int.Input(
        "index",
        default=0,
        min=0,
        max=63,
        tooltip="Number of the face, by size: 0 is the largest, 1 the next.",
    )
    box = [
        io.Int.Input(
            name,
            default=default,
            min=0,
            max=16384,
            tooltip=f"{what} of the box around the face, in pixels of the loaded picture.",
        )
        for name, default, what in (
            ("x", 0, "Left edge"),
            ("y", 0, "Top edge"),
            ("width", 256, "Width"),
            ("height", 256, "Height"),
        )
    ]
    mask = io.Mask.Input("mask", tooltip="White over the face to animate, black elsewhere.")
    landmarks = FaceLandmarksSocket.Input(
        "landmarks",
        tooltip=(
            "From core's Detect Face Landmarks (MediaPipe), run on one batch of all the pictures; replaces this node's "
            "own detection."
        ),
    )
    return [
        io.DynamicCombo.Option(LARGEST, []),
        io.DynamicCombo.Option(NUMBER, [number]),
        io.DynamicCombo.Option(BOX, box),
        io.DynamicCombo.Option(MASK, [mask]),
        io.DynamicCombo.Option(LANDMARKS, [landmarks, number]),
    ]


def _choice(face: dict[str, Any], portrait: Tensor, scale: float) -> FaceChoice:
    """Return the face choice set by the widgets, in pixels of the portrait (3, H, W).

    scale: factor by which the portrait was resized, applied to the box.
    """
    if face["face"] in (NUMBER, LANDMARKS):
        return FaceChoice(index=face["index"])
    if face["face"] == BOX:
        names = ("x", "y", "width", "height")
        x0, y0, width, height = (check_real(f"The input '{name}'", face[name]) * scale for name in names)
        return FaceChoice(box=(x0, y0, x0 + width, y0 + height))
    if face["face"] == MASK:
        mask = convert.mask_to_library(face["mask"])
        return FaceChoice(mask=F.interpolate(mask[None, None], image_size(portrait), mode="nearest")[0, 0])
    return FaceChoice()


def _faces_from_landmarks(
    landmarks: dict[str, Any], originals: list[Tensor], pictures: list[Tensor]
) -> list[list[Face]]:
    """Convert core's FACE_LANDMARKS of the original pictures to the faces of each, in pixels of ``pictures``.

    Raises FaceError if the landmarks belong to other pictures.
    """
    detected = faces_from_comfyui(landmarks)
    height, width = (landmarks.get("image_size") or (0, 0))[:2]
    if len(detected) < len(originals) or any(image_size(picture) != (height, width) for picture in originals):
        raise FaceError(
            "The face landmarks are not those of the reference pictures: detect them on one batch of all the pictures, "
            "in the same order."
        )
    scales = [after.shape[-1] / before.shape[-1] for before, after in zip(originals, pictures, strict=True)]
    return [
        [replace(face, landmarks=face.landmarks * scale) for face in faces]
        for faces, scale in zip(detected, scales, strict=False)
    ]


def _draw_preview(identity: Identity, faces: list[Face]) -> Tensor:
    """Return the portrait (3, H, W) with crop outline and landmarks drawn.

    Several faces have their boxes and their numbers drawn, as the widget "index" counts them.
    """
    picture = identity.portrait.cpu().clamp(0, 1)
    image = Image.fromarray((picture * 255).round().byte().permute(1, 2, 0).contiguous().numpy())
    draw = ImageDraw.Draw(image)
    side = float(identity.crop.size)
    corners = torch.tensor([[0.0, 0.0], [side, 0.0], [side, side], [0.0, side], [0.0, 0.0]])
    outline = from_crop(corners, identity.crop)
    thickness = max(max(image.size) // 150, 2)  # visible on a small node
    draw.line([tuple(point) for point in outline.tolist()], MARK_COLOUR, thickness)
    radius = thickness / 8
    for x, y in from_crop(identity.landmarks[:, :2].cpu(), identity.crop).tolist():
        draw.rectangle((x - radius, y - radius, x + radius, y + radius), MARK_COLOUR)
    ordered = sorted(faces, key=area, reverse=True) if len(faces) > 1 else []
    for number, face in enumerate(ordered):
        x0, y0, x1, y1 = face.box
        draw.rectangle((x0, y0, x1, y1), outline=NUMBER_COLOUR, width=thickness)
        label = _label(str(number), max(round(NUMBER_SIZE * max(image.size)), 12))
        image.paste(label, (max(round(x0), 0), max(round(y0) - label.height, 0)))
    return torch.from_numpy(np.array(image)).permute(2, 0, 1) / 255


def _label(text: str, height: int) -> Image.Image:
    """Return a text in a box of this height. Enlarged, because Pillow's own font has one size in older versions."""
    left, top, right, bottom = ImageFont.load_default().getbbox(text)
    label = Image.new("RGB", (round(right - left) + 4, round(bottom - top) + 4), NUMBER_COLOUR)
    ImageDraw.Draw(label).text((2 - left, 2 - top), text, (0, 0, 0), ImageFont.load_default())
    return label.resize((round(label.width * height / label.height), height), Image.Resampling.BICUBIC)
