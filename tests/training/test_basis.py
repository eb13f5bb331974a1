import torch

from portraittalk.arkit import ARKIT_INDEX, ARKIT_NAMES
from portraittalk.face.rigid import apply_rigid
from portraittalk.models.face_basis import load_basis
from portraittalk.motion.geometry import rotation_matrix
from portraittalk.training.face.basis import MIRRORED_NAMES, fit, mirror_landmarks


def spoken(basis, frames, generator):
    """Landmarks of the average face that speaks with random coefficients and a moving head, and the coefficients."""
    coefficients = torch.zeros(frames, 52)
    names = [ARKIT_INDEX[n] for n in ("jawOpen", "mouthPucker", "mouthSmileLeft", "mouthSmileRight")]
    coefficients[:, names] = torch.rand(frames, len(names), generator=generator)
    face = basis.mean + basis.displacement(coefficients)
    turn = rotation_matrix(0.1 * torch.randn(frames, 3, generator=generator))
    shift = 5 * torch.randn(frames, 3, generator=generator)
    return apply_rigid(face, turn, torch.full((frames,), 90.0), shift), coefficients


def test_the_fit_finds_what_moved_and_keeps_the_prior_elsewhere():
    true = load_basis()
    generator = torch.Generator().manual_seed(0)
    clips = [spoken(true, 300, generator) for _ in range(2)]
    portraits = spoken(true, 40, generator)
    fitted = fit(clips, portraits, 0.5 * true.expression, true.mean)
    below = true.mean[:, 1] > 0.5
    jaw, funnel = ARKIT_INDEX["jawOpen"], ARKIT_INDEX["mouthFunnel"]
    wrong = (fitted.expression - true.expression)[:, below].norm(dim=-1)
    assert wrong[jaw].mean() < 0.15 * true.expression[jaw, below].norm(dim=-1).mean()
    assert torch.allclose(fitted.expression[funnel, below], 0.5 * true.expression[funnel, below], atol=1e-3)


def test_mirroring_twice_is_nothing():
    mirror = mirror_landmarks(load_basis().mean)
    assert torch.equal(mirror[mirror], torch.arange(478))
    assert mirror[33] == 263 and mirror[61] == 291 and mirror[78] == 308 and mirror[4] == 4
    names = [ARKIT_NAMES[i] for i in MIRRORED_NAMES]
    assert names[ARKIT_INDEX["mouthSmileLeft"]] == "mouthSmileRight"
    assert names[ARKIT_INDEX["mouthLeft"]] == "mouthRight" and names[ARKIT_INDEX["jawOpen"]] == "jawOpen"
