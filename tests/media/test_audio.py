import logging
import math
import random
import sys
import time
import wave
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from portraittalk.errors import MediaError, SettingsError
from portraittalk.media.audio import Audio, audio_from_waveform, frame_count, read_audio
from portraittalk.media.decode import Reading

FORMATS = [
    ("a.wav", "pcm_s16le", 48000),
    ("a.mp3", "libmp3lame", 48000),
    ("a.m4a", "aac", 48000),
    ("a.flac", "flac", 48000),
    ("a.ogg", "libopus", 48000),
    ("a.webm", "libopus", 48000),
]


@pytest.mark.parametrize(("name", "codec", "rate"), FORMATS)
def test_every_format_starts_at_its_first_sample(encode, lag, bursts: Tensor, name: str, codec: str, rate: int) -> None:
    path = encode(name, codec, rate, container="ipod" if name.endswith("m4a") else None)
    audio = read_audio(path)
    assert audio.sample_rate == rate
    assert audio.waveform.shape[0] == 2 and audio.waveform.dtype == torch.float32
    assert audio.path == path
    assert abs(lag(audio.waveform[0], bursts[0])) <= rate // 1000
    assert audio.samples == bursts.shape[1]


@pytest.mark.parametrize(("name", "codec", "rate"), FORMATS)
def test_a_part_equals_that_part_of_the_whole(encode, lag, name: str, codec: str, rate: int) -> None:
    path = encode(name, codec, rate)
    whole, part = read_audio(path), read_audio(path, start=1.25, duration=0.5)
    assert part.samples == rate // 2
    assert part.path is None
    expected = whole.waveform[0, round(1.25 * rate) : round(1.75 * rate)]
    assert abs(lag(part.waveform[0], expected)) <= rate // 1000  # Matroska rounds to milliseconds


@pytest.mark.parametrize(
    "codec", ["pcm_u8", "pcm_s16le", "pcm_s24le", "pcm_s32le", "pcm_f32le", "pcm_f64le", "pcm_mulaw"]
)
def test_every_sample_format_has_the_same_loudness(encode, bursts: Tensor, codec: str) -> None:
    heard = read_audio(encode("a.wav", codec)).waveform
    assert (heard - bursts).abs().max() < (0.03 if codec in ("pcm_u8", "pcm_mulaw") else 1e-4)


def test_8_khz_8_bit_mono(tmp_path: Path) -> None:
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(8000) / 8000)
    with wave.open(str(tmp_path / "phone.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(1)
        file.setframerate(8000)
        file.writeframes(np.round(tone * 127 + 128).astype(np.uint8).tobytes())
    audio = read_audio(tmp_path / "phone.wav")
    assert (audio.sample_rate, audio.waveform.shape) == (8000, (1, 8000))
    assert np.abs(audio.mono().numpy() - tone).max() < 0.01


def test_96_khz_surround_is_mixed_to_its_centre(encode) -> None:
    silence, voice = torch.zeros(48000), torch.sin(torch.arange(48000) / 20)
    channels = torch.stack(
        [silence, silence, voice, 9 * voice.sign() / 10, silence, silence]
    )  # loud bass, to be left out
    audio = read_audio(encode("film.flac", "flac", rate=96000, layout="5.1", values=channels))
    assert (audio.sample_rate, audio.waveform.shape) == (96000, (6, 48000))
    mono = audio.mono()
    assert torch.corrcoef(torch.stack([mono, voice]))[0, 1] > 0.999
    assert 0.2 < mono.abs().max() < 1


def test_mono_of_stereo_is_the_mean() -> None:
    audio = Audio(torch.tensor([[1.0, 0.0], [0.5, 0.5]]), 8000)
    assert torch.equal(audio.mono(), torch.tensor([0.75, 0.25]))


def test_sound_of_a_video_that_begins_late_is_preceded_by_silence(tmp_path: Path, bursts: Tensor, lag) -> None:
    path = tmp_path / "late.mp4"
    with av.open(path, "w") as output:
        picture, sound = output.add_stream("libx264", rate=25), output.add_stream("aac", rate=48000, layout="stereo")
        picture.width = picture.height = 64
        picture.pix_fmt = "yuv420p"
        for k in range(50):
            frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
            frame.pts, frame.time_base = k, Fraction(1, 25)
            output.mux(picture.encode(frame))
        output.mux(picture.encode(None))
        frame = av.AudioFrame.from_ndarray(bursts[:, :48000].numpy().copy(), format="fltp", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = 48000, 12000, Fraction(1, 48000)  # a quarter of a second
        output.mux(sound.encode(frame))
        output.mux(sound.encode(None))
    audio = read_audio(path)
    assert abs(lag(audio.waveform[0], bursts[0, :48000]) - 12000) < 48
    assert audio.path is None  # a copied stream would begin early


def test_a_gap_in_the_timestamps_becomes_silence(tmp_path: Path, bursts: Tensor) -> None:
    path = tmp_path / "gap.mka"
    with av.open(path, "w") as output:
        stream = output.add_stream("pcm_s16le", rate=48000, layout="stereo")
        for start in (0, 72000):
            frame = av.AudioFrame.from_ndarray(bursts[:, :48000].numpy().copy(), format="fltp", layout="stereo")
            frame.sample_rate, frame.pts, frame.time_base = 48000, start, Fraction(1, 48000)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    audio = read_audio(path)
    assert audio.samples == 120000
    assert torch.equal(audio.waveform[:, 48000:72000], torch.zeros(2, 24000))
    assert (audio.waveform[:, 72000:] - bursts[:, :48000]).abs().max() < 1e-4


def test_two_seconds_of_twenty_minutes_are_read_at_once(tmp_path: Path, encode) -> None:
    path = tmp_path / "long.mp3"
    path.write_bytes(encode("short.mp3", "libmp3lame").read_bytes() * 600)
    begun = time.process_time()
    assert read_audio(path, duration=2).samples == 96000
    assert time.process_time() - begun < 0.5


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("shape", [(1, 2, 4800), (2, 4800), (1, 1, 4800)])
def test_waveforms_of_every_type_and_shape(dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    audio = audio_from_waveform(torch.full(shape, 0.5, dtype=dtype), 48000)
    assert audio.waveform.shape == shape[-2:] and audio.waveform.dtype == torch.float32
    assert audio.seconds == 0.1


INTEGERS = [(torch.uint8, 128, 128), (torch.int8, 0, 128), (torch.int16, 0, 2**15), (torch.int32, 0, 2**31)]


@pytest.mark.parametrize(("dtype", "centre", "full_scale"), INTEGERS)
def test_integers_are_scaled_by_their_range(
    bursts: Tensor, dtype: torch.dtype, centre: int, full_scale: int, caplog: pytest.LogCaptureFixture
) -> None:
    integers = (bursts[:, :4800].double() * full_scale + centre).round().to(dtype)
    audio = audio_from_waveform(integers, 48000)
    assert (audio.waveform - bursts[:, :4800]).abs().max() <= 0.51 / full_scale
    assert not caplog.text


@pytest.mark.parametrize(
    ("bits", "dtype"), [(16, torch.float32), (24, torch.float32), (32, torch.float64), (16, torch.int64)]
)
def test_samples_with_the_scale_of_integers_are_scaled_and_that_is_said(
    bursts: Tensor, bits: int, dtype: torch.dtype, caplog: pytest.LogCaptureFixture
) -> None:
    values = (bursts[:, :4800].double() * 2 ** (bits - 1)).round().to(dtype)
    with caplog.at_level(logging.WARNING):
        audio = audio_from_waveform(values, 48000)
    assert (audio.waveform - bursts[:, :4800]).abs().max() < 1e-4
    assert caplog.text.count("peak") == 1 and str(2 ** (bits - 1)) in caplog.text


def test_a_file_with_the_scale_of_integers(encode, bursts: Tensor, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        audio = read_audio(encode("loud.wav", "pcm_f32le", values=bursts * 2**15))
    assert (audio.waveform - bursts).abs().max() < 1e-6
    assert "loud.wav has peaks" in caplog.text
    assert audio.path is None


def test_what_is_only_loud_stays_as_it_is(bursts: Tensor, caplog: pytest.LogCaptureFixture) -> None:
    assert torch.equal(audio_from_waveform(4 * bursts, 48000).waveform, 4 * bursts)
    assert not caplog.text


def test_inverted_stereo_is_heard_as_the_mono_original_and_that_is_said(
    bursts: Tensor, caplog: pytest.LogCaptureFixture
) -> None:
    hiss = 1e-3 * bursts.flip(1)
    audio = Audio(torch.stack([bursts[0], -bursts[0]]) + hiss, 48000)
    with caplog.at_level(logging.WARNING):
        assert (audio.mono() - bursts[0]).abs().max() < 2e-3
    assert caplog.text.count("cancel") == 1


@pytest.mark.parametrize("side", [[1.0, 1.0], [1.0, 0.0], [0.0, 1.0], [1.0, -0.5]])
def test_other_stereo_is_heard_as_its_mean(bursts: Tensor, side: list[float], caplog: pytest.LogCaptureFixture) -> None:
    for channels in (bursts, torch.tensor(side)[:, None] * bursts[:1], torch.zeros(2, 960)):
        assert torch.allclose(Audio(channels, 48000).mono(), channels.mean(0), atol=1e-7)
    assert not caplog.text


def test_of_a_batch_the_first_is_taken_and_that_is_said(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        audio = audio_from_waveform(torch.stack([torch.zeros(1, 4800), torch.ones(1, 4800)]), 48000)
    assert audio.waveform.max() == 0 and "batch of 2" in caplog.text


@pytest.mark.parametrize(
    ("waveform", "words"),
    [
        (torch.zeros(1, 1, 0), "empty"),
        (torch.zeros(0, 1, 4800), "empty"),
        (torch.zeros(1, 960), "0.020 s"),
        (torch.tensor([[0.0, math.nan]]).repeat(1, 4800), "NaN"),
        (torch.tensor([[0.0, math.inf]]).repeat(1, 4800), "NaN"),
    ],
)
def test_unusable_waveforms_are_refused(waveform: Tensor, words: str) -> None:
    with pytest.raises(MediaError, match=words):
        audio_from_waveform(waveform, 48000)


def silent_wav(path: Path, samples: int) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(48000)
        file.writeframes(bytes(2 * samples))
    return path


def refused(path: Path, **part: float) -> str:
    with pytest.raises(MediaError) as error:
        read_audio(path, **part)
    message = str(error.value)
    assert path.name in message and "\n" not in message
    return message


def test_what_is_no_sound_is_refused(tmp_path: Path, encode) -> None:
    Image.new("RGB", (64, 64)).save(tmp_path / "picture.png")
    assert "no audio track" in refused(tmp_path / "picture.png")
    Image.new("RGB", (64, 64)).save(tmp_path / "picture.mp3", format="JPEG")
    assert "no audio track" in refused(tmp_path / "picture.mp3")
    (tmp_path / "text.wav").write_text("not a sound at all")
    refused(tmp_path / "text.wav")
    (tmp_path / "zero.wav").touch()
    refused(tmp_path / "zero.wav")
    assert "does not exist" in refused(tmp_path / "nowhere.wav")
    assert "folder" in refused(tmp_path)
    assert "no audio" in refused(silent_wav(tmp_path / "empty.wav", 0))
    assert "0.020 s" in refused(silent_wav(tmp_path / "short.wav", 960))
    assert "NaN" in refused(encode("nan.wav", "pcm_f32le", values=torch.full((2, 9600), math.nan)))
    assert "ends before 3 s" in refused(encode("a.wav", "pcm_s16le"), start=3)


def test_a_damaged_piece_is_left_out_and_that_is_said(encode, caplog: pytest.LogCaptureFixture) -> None:
    path = encode("a.m4a", "aac")
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 2000] = bytes(range(250)) * 8
    path.write_bytes(data)
    with caplog.at_level(logging.WARNING):
        audio = read_audio(path)
    assert "damaged" in caplog.text
    assert abs(audio.seconds - 2) < 0.001 and audio.path is None


@pytest.mark.parametrize("part", [{"start": -1.0}, {"start": math.nan}, {"duration": 0.0}, {"duration": math.inf}])
def test_impossible_parts_are_refused(tmp_path: Path, part: dict[str, float]) -> None:
    with pytest.raises(SettingsError):
        read_audio(tmp_path / "any.wav", **part)


def test_frame_count_of_fifty_odd_durations_and_rates() -> None:
    rng = random.Random(2)
    cases = [
        (
            rng.randrange(1, 10**8),
            rng.choice([8000, 11025, 22050, 44100, 48000, 96000]),
            rng.choice([12.5, 23.976, 24, 25, 29.97, 59.94]),
        )
        for _ in range(50)
    ]
    for samples, rate, fps in cases:
        exact = Fraction(samples, rate) * Fraction(str(fps))
        count = frame_count(samples, rate, fps)
        assert count == max(1, math.floor(exact + Fraction(1, 2)))
        assert count == 1 or abs(count - exact) <= Fraction(1, 2)


@pytest.mark.parametrize(
    ("samples", "rate", "fps", "count"),
    [
        (48000, 48000, 25, 25),
        (1, 48000, 25, 1),
        (2880, 48000, 25, 2),
        (2879, 48000, 25, 1),
        (1001, 1000, Fraction(30000, 1001), 30),
    ],
)
def test_frame_count_rounds_half_up_and_is_at_least_one(samples: int, rate: int, fps: float, count: int) -> None:
    assert frame_count(samples, rate, fps) == count


@pytest.mark.parametrize("fps", [0, -25, math.nan, math.inf])
def test_an_impossible_frame_rate_is_refused(fps: float) -> None:
    with pytest.raises(SettingsError, match="frame rate"):
        frame_count(48000, 48000, fps)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows allows no colon in names")
@pytest.mark.parametrize("name", ["12:30.wav", "./12:30.wav", "data:x.wav", "http:x.wav", "concat:a|b.wav", "50%d.wav"])
def test_paths_that_look_like_addresses_are_files(encode, bursts: Tensor, monkeypatch, name: str) -> None:
    path = encode(name.removeprefix("./"), "pcm_s16le")
    monkeypatch.chdir(path.parent)
    audio = read_audio(name)
    assert audio.samples == bursts.shape[1] and audio.path == Path(name)


def test_a_preview_too_short_to_be_heard_is_named(encode) -> None:
    path = encode("a.wav", "pcm_s16le")
    for seconds in (1e-9, 0.01, math.nan):
        with pytest.raises(SettingsError, match=r"duration, in seconds, must be a finite number of at least 0\.04"):
            read_audio(path, duration=seconds)
    assert read_audio(path, duration=0.04).samples == 0.04 * 48000


def test_many_small_blocks_are_joined_in_their_order():
    sound = torch.randn(2, 2600)
    reading = Reading(0.0, None)
    for begin in range(0, 2600, 2):  # joined twice on the way, and some left
        assert reading.add(begin / 16000, sound[:, begin : begin + 2], 16000)
    assert not reading.empty and torch.equal(reading.waveform(), sound)
