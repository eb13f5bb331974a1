import math

import torch

from portraittalk.metrics.pixels import l1, psnr, seam_ratio, sharpness, ssim


def test_psnr_of_a_known_error_and_of_none():
    picture = torch.full((2, 3, 8, 8), 0.5)
    assert psnr(picture, picture) == math.inf
    assert math.isclose(psnr(picture, picture + 0.1), 20, abs_tol=1e-3)
    assert math.isclose(l1(picture, picture - 0.1), 0.1, abs_tol=1e-6)


def test_only_the_masked_region_counts():
    picture = torch.zeros(1, 3, 8, 8)
    other = picture.clone()
    other[..., :4, :] = 0.5
    mask = torch.zeros(1, 1, 8, 8)
    mask[..., 4:, :] = 1
    assert l1(picture, other, mask) == 0 and l1(picture, other, 1 - mask) == 0.5


def test_seam_ratio_sees_a_jump_at_a_window_and_none_in_steady_motion():
    generator = torch.Generator().manual_seed(0)
    frames = torch.linspace(0, 1, 24)[:, None, None, None] + 0.01 * torch.rand(24, 3, 8, 8, generator=generator)
    assert 0.8 < seam_ratio(frames, [8, 16]) < 1.25
    frames[8:] += 0.2
    assert seam_ratio(frames, [8]) > 5


def test_ssim_is_scikit_images(portrait):
    from skimage.metrics import structural_similarity

    first = portrait[None, :, ::4, ::4].contiguous()
    noise = torch.randn(first.shape, generator=torch.Generator().manual_seed(0))
    second = (first + 0.05 * noise).clamp(0, 1)
    theirs = structural_similarity(
        first[0].numpy(),
        second[0].numpy(),
        channel_axis=0,
        data_range=1,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    assert math.isclose(ssim(first, second), theirs, abs_tol=1e-4)
    assert math.isclose(ssim(first, first), 1, abs_tol=1e-5)


def test_a_haze_is_less_sharp_and_the_mask_says_where():
    real = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    haze = torch.nn.functional.avg_pool2d(real, 3, 1, 1)
    mask = torch.zeros(2, 1, 32, 32)
    mask[..., 8:24] = 1
    assert math.isclose(sharpness(real, real, mask), 1, abs_tol=1e-6)
    assert sharpness(haze, real, mask) < 0.3
    assert math.isclose(sharpness(real.where(mask > 0, haze), real, _inner(mask)), 1, abs_tol=1e-6)
    assert math.isnan(sharpness(haze, real, torch.zeros_like(mask)))


def _inner(mask):
    """The mask without its outermost columns, whose Laplacian sees beyond it."""
    return -torch.nn.functional.max_pool2d(-mask, 3, 1, 1)
