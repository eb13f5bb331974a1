"""Properties of motion tracks: what is saved loads again, and any other JSON is refused in a sentence."""

import json
import math
from dataclasses import replace

import torch
from hypothesis import given
from hypothesis import strategies as st
from property_examples import EXAMPLES

from portraittalk.arkit import ARKIT_NAMES
from portraittalk.errors import MotionError
from portraittalk.motion.track import LARGEST, MOST_FRAMES, TENSORS, MotionTrack, check_motion
from portraittalk.motion.transform import fit_to_speech, resample

numbers = st.floats(-LARGEST, LARGEST, width=32)
rates = st.floats(0.1, 1000) | st.sampled_from([24.0, 25.0, 30000 / 1001, 60.0])
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just(10**400),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@st.composite
def tracks(draw: st.DrawFn) -> MotionTrack:
    count = draw(st.integers(1, 5))
    track = MotionTrack.of_expression(torch.zeros(count, len(ARKIT_NAMES)), draw(rates))
    columns = {name: torch.zeros_like(getattr(track, name)) for name in TENSORS}
    for values in columns.values():
        flat = values.view(-1)
        for place, number in draw(st.dictionaries(st.integers(0, len(flat) - 1), numbers, max_size=4)).items():
            flat[place] = number
    return replace(track, prompt=draw(st.text(max_size=10)), **columns)


@EXAMPLES
def test_a_track_survives_its_file(examples, tmp_path):
    @examples
    @given(tracks(), st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32"]))
    def check(track, encoding):
        path = tmp_path / "motion.json"
        track.save(path)
        path.write_bytes(path.read_text(encoding="utf-8").encode(encoding))
        loaded = MotionTrack.load(path)
        assert (loaded.fps, loaded.prompt, len(loaded)) == (track.fps, track.prompt, len(track))
        for name in TENSORS:
            assert torch.allclose(getattr(loaded, name), getattr(track, name), rtol=1e-6, atol=1e-5)

    check()


@EXAMPLES
def test_any_json_is_a_track_or_refused_in_a_sentence(examples):
    valid = MotionTrack.of_expression(torch.full((2, len(ARKIT_NAMES)), 0.5), 25.0).to_dict()

    @examples
    @given(st.data())
    def check(data):
        changed = json.loads(json.dumps(valid))
        frame = data.draw(st.sampled_from(changed["frames"]))
        container = data.draw(st.sampled_from([changed, frame, frame["expression"], frame["rotation"]]))
        keys = range(len(container)) if isinstance(container, list) else [*container, "x"]
        container[data.draw(st.sampled_from(list(keys)))] = data.draw(anything)
        try:
            check_motion(MotionTrack.from_dict(changed))
        except MotionError as error:
            assert str(error).endswith(".") and "\n" not in str(error) and len(str(error)) < 300

    check()


@EXAMPLES
def test_resampling_keeps_the_length_in_seconds(examples):
    @examples
    @given(tracks(), rates, st.integers(1, 200))
    def check(track, fps, frames):
        if len(track) * fps / track.fps > min(MOST_FRAMES, 100_000):
            return
        count = len(resample(track, fps))
        assert count == max(1, round(len(track) * fps / track.fps))
        fitted = len(fit_to_speech(track, frames, fps))
        assert count <= fitted <= count + math.ceil(fps / track.fps)

    check()
