"""Properties of sockets: any tensor becomes what the library expects, or is refused with the name of the input."""

import importlib

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from property_examples import EXAMPLES

shapes = st.lists(st.sampled_from([0, 1, 2, 3, 4, 9]), max_size=5)
dtypes = st.sampled_from(
    [torch.float32, torch.float16, torch.bfloat16, torch.uint8, torch.int64, torch.bool, torch.complex64]
)
fills = st.sampled_from([0.0, 0.5, 1.0, 1.2, -0.1, -1.0, 255.0, 1e30, float("nan"), float("inf")])
others = st.sampled_from([None, 3, "x", [torch.zeros(1)], {}])


@st.composite
def tensors(draw: st.DrawFn) -> torch.Tensor:
    return torch.full(draw(shapes), draw(fills)).to(draw(dtypes))


@pytest.fixture(scope="module")
def convert(pack, nodes):
    return importlib.import_module(f"{pack.__name__}.nodes.convert")


@pytest.fixture
def converted(library):
    """converted(function, value, name): the result, or None where it is refused with the name of the input."""

    def run(function, value, name):
        try:
            return function(value, name)
        except library("errors").MediaError as error:
            assert str(error).startswith(f"The input '{name}'") and "\n" not in str(error) and len(str(error)) < 250
            return None

    return run


@EXAMPLES
def test_images(examples, convert, converted):
    @examples
    @given(tensors() | others)
    def check(value):
        image = converted(convert.to_library, value, "frames")
        if image is not None:
            assert image.shape == (value.shape[0], 3, *value.shape[1:3]) and image.numel()
            assert image.dtype == torch.float32 and image.isfinite().all()

    check()


@EXAMPLES
def test_masks(examples, convert, converted):
    @examples
    @given(tensors() | others)
    def check(value):
        mask = converted(convert.mask_to_library, value, "mask")
        if mask is not None:
            assert mask.shape == value.shape[-2:] and mask.numel() and 0 <= mask.amin() <= mask.amax() <= 1

    check()


@EXAMPLES
def test_audio(examples, convert, converted):
    rates = st.integers() | st.floats() | st.sampled_from([16000, 44100, 1000]) | others
    waveforms = st.tuples(st.integers(0, 2), st.integers(0, 3), st.sampled_from([0, 39, 4000])).flatmap(
        lambda shape: st.builds(lambda value, dtype: torch.full(shape, value).to(dtype), fills, dtypes)
    )
    dictionaries = st.fixed_dictionaries(
        {}, optional={"waveform": waveforms | tensors() | others, "sample_rate": rates}
    )

    @examples
    @given(dictionaries | others | tensors())
    def check(value):
        audio = converted(convert.audio_to_library, value, "audio")
        if audio is not None:
            assert audio.waveform.ndim == 2 and audio.waveform.dtype == torch.float32
            assert audio.waveform.isfinite().all() and audio.seconds >= 0.04 and audio.sample_rate >= 1000

    check()
