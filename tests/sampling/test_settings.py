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
    ],
)
def test_settings_out_of_range_are_refused_with_one_sentence(settings):
    with pytest.raises(SettingsError) as refused:
        check_settings(settings, MINI)
    assert "\n" not in str(refused.value) and str(refused.value).endswith(".")


def test_default_settings_are_fine():
    check_settings(SamplingSettings(), MINI)


@pytest.mark.parametrize("fps", [0, -1, math.nan, math.inf, 500])
def test_frame_rates_out_of_range_are_refused(fps):
    with pytest.raises(SettingsError):
        check_fps(fps)
