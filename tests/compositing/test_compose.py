import pytest
import torch

from portraittalk.compositing.compose import Compositor, CropData, paste_back
from portraittalk.compositing.part import beside
from portraittalk.compositing.placement import fade
from portraittalk.compositing.warp import warp
from portraittalk.errors import SettingsError
from portraittalk.face.align import aligned_crop, extract_crop
from portraittalk.types import Crop

SIZE, GRID, FRAMES = 256, 64, 2
PICTURES = ["portrait", "turned_portrait", "landscape", "crowd"]


@pytest.fixture(scope="module", params=PICTURES)
def data(request, provider) -> CropData:
    picture = request.getfixturevalue(request.param)
    face = provider(picture)[0]
    return CropData(picture, aligned_crop(face.landmarks, (picture.shape[1], picture.shape[2]), SIZE))


def still() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Sheets that lie still, and all of the crop above the openings."""
    flow = torch.zeros(FRAMES, 8, GRID, GRID)
    flow[:, 6], flow[:, 7] = 1, -1
    return flow, torch.zeros(FRAMES, 3, SIZE, SIZE), torch.ones(FRAMES, 1, SIZE, SIZE)


def shifted(flow: torch.Tensor, by: float) -> torch.Tensor:
    return torch.cat((flow[:, :6] + by, flow[:, 6:]), 1)


def moving() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A flow that pulls the middle down and right, and a smooth red residual around the mouth."""
    flow, residual, mask = still()
    flow[:, 0] = -0.03 * bump(GRID, 0.5, 0.5, 0.15)
    flow[:, 1] = -0.02 * bump(GRID, 0.5, 0.5, 0.15)
    residual[:, 0] = 0.2 * bump(SIZE, 0.5, 0.65, 0.05)
    return flow, residual, mask * bump(SIZE, 0.5, 0.65, 0.1)


def bump(size: int, x: float, y: float, sigma: float) -> torch.Tensor:
    centres = (torch.arange(size) + 0.5) / size
    return torch.exp(-((centres[:, None] - y) ** 2 + (centres - x) ** 2) / (2 * sigma**2))


def inside(size: int) -> torch.Tensor:
    return fade(size) == 1


def test_nothing_moves_nothing_changes(data):
    frames = Compositor(data.portrait, data.crop)(*still())
    assert frames.shape == (FRAMES, *data.portrait.shape)
    assert torch.equal(frames, data.portrait.expand_as(frames))


def test_outside_of_the_box_every_bit_is_the_pictures(data):
    flow, residual, mask = still()
    frames = Compositor(data.portrait, data.crop)(shifted(flow, 0.3), residual - 1, mask)
    x0, y0, x1, y1 = data.box
    assert (frames[:, :, y0:y1, x0:x1] - data.portrait[:, y0:y1, x0:x1]).abs().max() > 0.3
    frames[:, :, y0:y1, x0:x1] = data.portrait[:, y0:y1, x0:x1]
    assert torch.equal(frames, data.portrait.expand_as(frames))


def test_no_seam_at_the_border_of_the_crop(data):
    """However wild flow and residual are, along the crop's border the picture is left as it was."""
    flow, residual, mask = still()
    frames = Compositor(data.portrait, data.crop)(shifted(flow, 0.1), residual + 0.5, mask)
    change = extract_crop((frames - data.portrait).abs().clamp(0, 1), data.crop)
    border = torch.ones(SIZE, SIZE, dtype=torch.bool)
    border[1:-1, 1:-1] = False
    assert change[:, :, border].max() < 0.05
    assert change[:, :, inside(SIZE)].mean() > 0.1


def test_the_frame_shows_in_the_crop_what_was_asked_for(data):
    """Moving the picture's own pixels and moving those of the crop give the same picture, up to sharpness."""
    flow, residual, mask = moving()
    frames = Compositor(data.portrait, data.crop)(flow, residual, mask)
    wanted = (warp(extract_crop(data.portrait, data.crop), flow) + mask * residual).clamp(0, 1)
    here = inside(SIZE)
    difference = (extract_crop(frames, data.crop) - wanted).abs()[:, :, here]
    moved = (wanted - extract_crop(data.portrait, data.crop)).abs()[:, :, here]
    assert difference.mean() < 0.15 * moved.mean()


def test_another_picture_is_shown_instead_where_it_is_asked_for_and_only_there(data):
    compositor = Compositor(data.portrait, data.crop)
    plain, share = compositor(*moving()), bump(SIZE, 0.5, 0.65, 0.06).expand(FRAMES, 1, -1, -1).clone()
    share[share < 0.05] = 0
    share[share > 0.6] = 1
    stripes = (torch.arange(SIZE) // 16 % 2).float().expand(FRAMES, 3, SIZE, -1)
    frames = compositor(*moving(), (stripes, share))
    assert torch.equal(compositor(*moving(), (stripes, torch.zeros_like(share))), plain)
    change = extract_crop((frames - plain).abs(), data.crop)
    assert change[:, :, share[0, 0] == 0].quantile(0.99) < 0.02
    core = -torch.nn.functional.max_pool2d(-share[0], 5, 1, 2)[0] == 1
    assert core.sum() > 50
    seen = extract_crop(frames, data.crop)[:, :, core]
    assert (seen - stripes[:, :, core]).abs().mean() < 0.1  # not a trace of what moves there


def test_crops_pasted_back_give_the_frames(data):
    compositor = Compositor(data.portrait, data.crop)
    frames = compositor(*moving())
    crops = compositor.crops(*moving())
    assert crops.shape[-1] >= max(data.native_size, SIZE)
    pasted = paste_back(crops, data)
    assert (pasted - frames).abs().mean() < 1e-3
    assert (pasted - frames).abs().flatten(1)[:, ::7].quantile(0.999) < 0.05


@pytest.mark.parametrize("size", [SIZE, 400])
def test_an_unedited_crop_leaves_the_picture_unchanged(data, size):
    crops = extract_crop(data.portrait, data.crop, size)[None]
    assert torch.equal(paste_back(crops, data)[0], data.portrait)
    stored = (crops * 255).round() / 255
    assert (paste_back(stored, data)[0] - data.portrait).abs().max() < 1 / 255


def test_an_edit_is_pasted_at_its_place(data):
    crops = extract_crop(data.portrait, data.crop, 512)[None].clone()
    crops[:, 1, 200:312, 200:312] = 1.0
    pasted = paste_back(crops, data)
    again = extract_crop(pasted, data.crop, 512)
    assert (again[:, 1, 215:297, 215:297] - 1).abs().max() < 0.04
    assert (again - crops)[:, :, 350:480, 50:460].abs().max() < 0.02


def test_the_picture_is_enlarged_for_enlarged_crops(portrait, portrait_face):
    data = CropData(portrait, aligned_crop(portrait_face.landmarks, (768, 768), SIZE))
    sharp = extract_crop(portrait, data.crop, 735)[None].clone()
    checks = (torch.arange(735) % 4 < 2).float()
    sharp[:, :, 300:420, 300:420] = checks[300:420]
    pasted = paste_back(sharp, data, scale=2.0)
    assert pasted.shape == (1, 3, 1536, 1536)
    matrix = torch.cat((data.crop.matrix[:, :2] / 2, data.crop.matrix[:, 2:]), 1)
    again = extract_crop(pasted, Crop(matrix, SIZE, (1536, 1536)), 735)
    assert (again - sharp)[:, :, 310:410, 310:410].abs().mean() < 0.15
    assert torch.allclose(torch.nn.functional.avg_pool2d(pasted, 2)[0, :, :90], portrait[:, :90], atol=0.12)


def test_a_face_that_the_picture_cuts_off(portrait, portrait_face):
    """The crop reaches beyond the picture; what is drawn there alone changes nothing."""
    picture = portrait[:, 250:, 330:]
    crop = aligned_crop(portrait_face.landmarks - torch.tensor([330.0, 250.0, 0.0]), (518, 438), SIZE)
    flow, residual, mask = still()
    residual[:, :, 20:80, 20:80] = 0.5
    frames = Compositor(picture, crop)(flow, residual, mask)
    assert torch.equal(frames, picture.expand_as(frames))
    residual[:, :, 150:200, 150:200] = 0.5
    changed = (Compositor(picture, crop)(flow, residual, mask) - picture).abs().amax((0, 1)) > 0.01
    assert 50 < changed.any(0).sum() < 90 and 50 < changed.any(1).sum() < 90


@pytest.mark.parametrize("shape", [(1, 3, 64, 65), (1, 4, 64, 64), (3, 64, 64)])
def test_crops_of_another_shape_are_refused(portrait, portrait_face, shape):
    data = CropData(portrait, aligned_crop(portrait_face.landmarks, (768, 768), SIZE))
    with pytest.raises(SettingsError, match="square RGB images"):
        paste_back(torch.zeros(shape), data)


@pytest.mark.parametrize("scale", [0.5, 0.0, float("nan"), float("inf"), 1e6])
def test_a_scale_that_does_not_enlarge_is_refused(portrait, portrait_face, scale):
    data = CropData(portrait, aligned_crop(portrait_face.landmarks, (768, 768), SIZE))
    with pytest.raises(SettingsError, match="between 1 and 8"):
        paste_back(torch.zeros(1, 3, 64, 64), data, scale)


def test_a_small_face_gets_a_residual_that_does_not_alias(portrait, portrait_face, shrink):
    small = shrink(portrait, 192)
    crop = aligned_crop(portrait_face.landmarks / 4, (192, 192), SIZE)
    flow, residual, mask = still()
    residual[..., ::2] = 0.5
    frames = Compositor(small, crop)(flow, residual - 0.25, mask)
    assert (frames - small).abs().mean() < 0.01


def test_what_lies_beside_bands_is_all_the_rest_once() -> None:
    bands = [(slice(2, 4), slice(1, 5)), (slice(4, 7), slice(0, 3)), (slice(8, 9), slice(2, 6))]
    times = torch.zeros(10, 6)
    for rows, columns in (*bands, *beside(bands, times.shape)):
        times[rows, columns] += 1
    assert times.eq(1).all()
    assert sum(rows.stop > rows.start and columns.stop > columns.start for rows, columns in beside([], (3, 4))) == 1
