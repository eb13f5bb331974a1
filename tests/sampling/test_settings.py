import math

import pytest

from portraittalk.config import MINI
from portraittalk.errors import SettingsError
from portraittalk.sampling.settings import check_fps, check_settings
from portraittalk.types import SamplingSettings, Scales


@pytest.mark.parametrize(
    "settings",
    [
        SamplingSettings(steps=0),
        SamplingSettings(steps=1001),
        SamplingSettings(seed=-1),
        SamplingSettings(window=0),
        SamplingSettings(window=33),
        SamplingSettings(window=8, overlap=8),
        SamplingSettings(guidance_scale=math.inf),
        SamplingSettings(scales=Scales(speech=math.nan)),
        SamplingSettings(scales=Scales(identity=-0.5)),
        SamplingSettings(guidance_scale=1e9),
        SamplingSettings(guidance_scale=None),
        SamplingSettings(seed=2**64),
        SamplingSettings(seed=1.0),
        SamplingSettings(seed="7"),
        SamplingSettings(steps=2.5),
        SamplingSettings(steps=True),
        SamplingSettings(steps=10**400),
        SamplingSettings(window="8"),
        SamplingSettings(overlap=-1),
        SamplingSettings(overlap=None),
        SamplingSettings(chunk=0),
        SamplingSettings(chunk=0.5),
        SamplingSettings(strength=math.nan),
        SamplingSettings(scales=None),
        SamplingSettings(scales=Scales(text="1")),
        None,
        {"steps": 1},
    ],
    ids=repr,
)
def test_settings_out_of_range_are_refused_with_one_sentence(settings):
    with pytest.raises(SettingsError) as refused:
        check_settings(settings, MINI)
    assert "\n" not in str(refused.value) and str(refused.value).endswith(".")


def test_default_settings_are_fine():
    check_settings(SamplingSettings(), MINI)


@pytest.mark.parametrize("fps", [0, -1, 1e-6, math.nan, math.inf, 500, 1e9, "25", None, True])
def test_frame_rates_out_of_range_are_refused(fps):
    with pytest.raises(SettingsError):
        check_fps(fps)
