"""Properties of media: whatever is written is read as it was, and what is no medium is refused in a sentence."""

import wave
from pathlib import Path

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from property_examples import EXAMPLES

from portraittalk.errors import MediaError
from portraittalk.media.audio import audio_from_waveform, frame_count, read_audio
from portraittalk.media.image import read_image
from portraittalk.media.reader import read_video
from portraittalk.media.video import write_video

sides = st.integers(32, 70)


@EXAMPLES
def test_pictures_without_loss_are_read_as_they_are(examples, tmp_path):
    @examples
    @given(
        sides,
        sides,
        st.sampled_from(["RGB", "L", "RGBA", "LA", "1", "P"]),
        st.sampled_from(["png", "tiff", "webp", "bmp"]),
        st.integers(0, 2**32 - 1),
    )
    def check(height, width, mode, form, seed):
        pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
        picture = Image.fromarray(pixels).convert(mode)
        if form in ("webp", "bmp"):  # which have no such modes
            picture = picture.convert("RGB")
        path = tmp_path / f"picture.{form}"
        picture.save(path, lossless=True)
        read = read_image(path)
        expected = torch.from_numpy(np.array(picture.convert("RGB"))).permute(2, 0, 1) / 255
        assert read.pixels.shape == (3, height, width) and torch.allclose(read.pixels, expected, atol=1e-6)
        assert (read.alpha is not None) == ("A" in picture.mode)

    check()


@EXAMPLES
def test_sound_is_read_as_it_is(examples, tmp_path):
    @examples
    @given(
        st.integers(1, 6),
        st.sampled_from([8000, 11025, 16000, 44100, 48000, 96000]) | st.integers(1000, 384_000),
        st.floats(0.04, 0.3),
        st.integers(0, 2**32 - 1),
    )
    def check(channels, rate, seconds, seed):
        samples = max(round(seconds * rate), -(-rate // 25))
        values = np.random.default_rng(seed).integers(-(2**15), 2**15, (samples, channels), np.int16)
        path = tmp_path / "sound.wav"
        with wave.open(str(path), "wb") as file:
            file.setparams((channels, 2, rate, 0, "NONE", ""))
            file.writeframes(values.tobytes())
        audio = read_audio(path)
        assert (audio.sample_rate, audio.samples) == (rate, samples)
        assert torch.equal(audio.waveform, torch.from_numpy(values.T.astype(np.float32) / 2**15))
        assert abs(frame_count(samples, rate, 25.0) - 25 * audio.seconds) <= 1

    check()


@EXAMPLES
def test_any_waveform_is_audio_or_refused(examples):
    @examples
    @given(
        st.lists(st.sampled_from([0, 1, 2, 3, 700]), max_size=4).filter(lambda shape: shape.count(700) < 3),
        st.sampled_from([torch.float32, torch.float64, torch.float16, torch.bool, torch.complex64]),
        st.sampled_from([0.0, 0.5, -1.0, float("nan"), float("inf")]),
        st.integers() | st.floats() | st.sampled_from([None, 16000, 48000, "16000", True]),
    )
    def check(shape, dtype, value, rate):
        try:
            audio = audio_from_waveform(torch.full(shape, value).to(dtype), rate)
        except MediaError as error:
            assert str(error).endswith(".") and "\n" not in str(error)
        else:
            assert audio.waveform.dtype == torch.float32 and audio.waveform.isfinite().all()
            assert audio.seconds >= 0.04 and audio.waveform.ndim == 2

    check()


@EXAMPLES
def test_bytes_are_refused_in_a_sentence(examples, tmp_path):
    beginnings = [
        b"",
        b"\x89PNG\r\n\x1a\n",
        b"\xff\xd8\xff",
        b"RIFF\0\0\0\0WAVEfmt ",
        b"ID3",
        b"\0\0\0 ftypisom",
        b"GIF89a",
    ]

    @examples
    @given(
        st.sampled_from(beginnings),
        st.binary(max_size=200),
        st.sampled_from([read_image, read_audio, read_video]),
        st.sampled_from([".png", ".wav", ".mp4", ".txt", ""]),
    )
    def check(beginning, rest, read, suffix):
        path = Path(tmp_path, f"file{suffix}")
        path.write_bytes(beginning + rest)
        try:
            read(path)
        except MediaError as error:
            assert str(error).endswith(".") and "\n" not in str(error)
        else:
            assert read is read_video  # some formats of FFmpeg make a picture of any bytes

    check()


@EXAMPLES
def test_every_frame_of_a_video_comes_back(examples, tmp_path):
    @settings(examples, max_examples=max(examples.max_examples // 5, 1))
    @given(
        st.integers(1, 7),
        sides,
        sides,
        st.sampled_from([12.5, 23.976, 25, 29.97, 30, 50, 60]) | st.integers(1, 120),
        st.sampled_from(["mp4", "webp", "gif"]),
    )
    def check(count, height, width, fps, kind):
        levels = torch.linspace(0.2, 0.8, count)
        frames = levels.reshape(-1, 1, 1, 1).expand(count, 3, height, width)
        path = tmp_path / f"video.{kind}"
        written = write_video(frames.split(2), path, fps)
        assert all(side - exact in (0, 1) for side, exact in zip(written.size, (height, width), strict=True))
        if kind != "mp4":  # the others have a highest frame rate
            assert abs(written.seconds - count / fps) <= max(0.02, 1 / fps)
        else:
            assert written.frames == count
            read = list(read_video(path))
            assert len(read) == count
            assert torch.allclose(torch.stack([frame.mean() for frame in read]), levels, atol=0.02)

    check()
