"""The sound of written videos: copied or encoded, in step with the frames."""

from pathlib import Path

import av
import pytest
import torch
from torch import Tensor

from portraittalk.errors import MediaError
from portraittalk.media.audio import Audio, read_audio
from portraittalk.media.video import write_video

FIVE_MS = 0.005


@pytest.mark.parametrize("kind", ["mp4", "webm"])
@pytest.mark.parametrize("rate", [8000, 44100, 96000])
def test_encoded_sound_starts_with_the_first_frame(
    tmp_path: Path, clip, bursts: Tensor, lag, kind: str, rate: int
) -> None:
    path = tmp_path / f"a.{kind}"
    write_video(clip(50), path, 25, Audio(bursts[:, : 2 * rate], rate))
    with av.open(path) as container:
        assert container.streams.video[0].start_time == 0
    heard = read_audio(path)
    original = Audio(bursts[:, : 2 * rate], rate).mono()
    seconds = torch.arange(original.shape[0]) / rate
    positions = (seconds * heard.sample_rate).long().clamp_max(heard.samples - 1)
    assert abs(lag(heard.mono()[positions], original)) < FIVE_MS * rate
    assert abs(heard.seconds - original.shape[0] / rate) < 0.03


@pytest.mark.parametrize(
    ("name", "codec", "kind"),
    [
        ("a.m4a", "aac", "mp4"),
        ("a.mp3", "libmp3lame", "mp4"),
        ("a.ogg", "libopus", "webm"),
        ("a.webm", "libopus", "webm"),
    ],
)
def test_copied_sound_is_bit_identical_and_starts_with_the_first_frame(
    tmp_path: Path, clip, encode, lag, name: str, codec: str, kind: str
) -> None:
    source = encode(f"source_{name}", codec)
    audio = read_audio(source)
    write_video(clip(50), tmp_path / f"out.{kind}", 25, audio)
    assert packets(tmp_path / f"out.{kind}") == packets(source)
    heard = read_audio(tmp_path / f"out.{kind}")
    assert abs(lag(heard.mono(), audio.mono())) < FIVE_MS * 48000


def packets(path: Path) -> list[bytes]:
    with av.open(path) as container:
        return [bytes(packet) for packet in container.demux(audio=0) if packet.size]


@pytest.mark.parametrize(("name", "codec", "kind"), [("a.flac", "flac", "mp4"), ("a.mp3", "libmp3lame", "webm")])
def test_sound_that_does_not_fit_is_encoded(
    tmp_path: Path, clip, encode, lag, name: str, codec: str, kind: str
) -> None:
    audio = read_audio(encode(name, codec))
    write_video(clip(50), tmp_path / f"out.{kind}", 25, audio)
    assert abs(lag(read_audio(tmp_path / f"out.{kind}").mono(), audio.mono())) < FIVE_MS * 48000


def test_a_cut_sound_is_not_copied_whole(tmp_path: Path, clip, encode) -> None:
    audio = read_audio(encode("a.m4a", "aac"), start=0.5, duration=1)
    write_video(clip(25), tmp_path / "out.mp4", 25, audio)
    assert abs(read_audio(tmp_path / "out.mp4").seconds - 1) < 0.03


@pytest.mark.parametrize("kind", ["mp4", "webm"])
@pytest.mark.parametrize(("channels", "kept"), [(1, 1), (3, 1), (6, 6), (8, 8)])
def test_sound_keeps_the_usual_numbers_of_channels(tmp_path: Path, clip, kind: str, channels: int, kept: int) -> None:
    sound = torch.rand(channels, 48000, generator=torch.Generator().manual_seed(0)) * 0.2 - 0.1
    write_video(clip(25), tmp_path / f"a.{kind}", 25, Audio(sound, 48000))
    assert read_audio(tmp_path / f"a.{kind}").waveform.shape[0] == kept


def test_a_sound_file_that_vanished_is_refused_and_nothing_left(tmp_path: Path, clip, encode) -> None:
    audio = read_audio(encode("a.m4a", "aac"))
    (tmp_path / "a.m4a").unlink()
    with pytest.raises(MediaError, match="does not exist"):
        write_video(clip(25), tmp_path / "out.mp4", 25, audio)
    assert not list(tmp_path.iterdir())


def test_formats_without_sound_say_so(tmp_path: Path, clip, bursts: Tensor, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("a.gif", "a.webp", "a_%d.png"):
        caplog.clear()
        write_video(clip(2), tmp_path / name, 25, Audio(bursts, 48000))
        assert "without sound" in caplog.text
