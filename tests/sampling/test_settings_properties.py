"""Properties of settings: exactly those in range pass, and all others are refused in a sentence."""

import math
from dataclasses import fields, replace

from hypothesis import given
from hypothesis import strategies as st
from property_examples import EXAMPLES

from portraittalk.config import MINI
from portraittalk.errors import SettingsError
from portraittalk.sampling.settings import check_fps, check_settings
from portraittalk.types import SamplingSettings, Scales

values = (
    st.integers()
    | st.integers(0, 40)
    | st.floats()
    | st.floats(0, 1)
    | st.sampled_from([None, True, "1", [1], 2**64, 10**400, SamplingSettings(), Scales()])
)
RANGES = {"seed": (0, 2**64 - 1), "steps": (1, 1000), "window": (1, 32), "overlap": (0, 11), "chunk": (1, math.inf)}


def whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def real(value: object, high: float) -> bool:
    return (whole(value) or isinstance(value, float)) and 0 <= value <= high


def refused(function, *arguments) -> bool:
    try:
        function(*arguments)
    except SettingsError as error:
        assert str(error).endswith(".") and "\n" not in str(error) and len(str(error)) < 300
        return True
    return False


@EXAMPLES
def test_settings_pass_exactly_if_they_are_in_range(examples):
    @examples
    @given(st.sampled_from(["strength", "guidance_scale", *RANGES]), values)
    def check(name, value):
        settings = replace(SamplingSettings(window=12, overlap=4), **{name: value})
        low, high = RANGES.get(name, (0, 0))
        if name == "window":
            low = 5  # above the overlap
        fits = (
            whole(value) and low <= value <= high if name in RANGES else real(value, 1 if name == "strength" else 100)
        )
        assert refused(check_settings, settings, MINI) != fits

    check()


@EXAMPLES
def test_scales_and_frame_rates_pass_exactly_if_they_are_in_range(examples):
    @examples
    @given(st.sampled_from([one.name for one in fields(Scales)]), values)
    def check(name, value):
        settings = SamplingSettings(scales=replace(Scales(), **{name: value}))
        assert refused(check_settings, settings, MINI) != real(value, 100)
        assert refused(check_fps, value) != (real(value, 120) and value >= 1)

    check()
