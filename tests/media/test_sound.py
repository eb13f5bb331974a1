"""Sound that stays in its file: the same samples as in memory, whichever way they are asked for."""

import logging
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from torch import Tensor

from portraittalk.errors import MediaError, OutputError, SettingsError
from portraittalk.media.audio import Audio, read_audio
from portraittalk.media.resample import resample
from portraittalk.media.sound import PIECE_SECONDS, AudioFile, open_audio, resampled, windows
from portraittalk.media.video import write_video

FORMATS = [("a.wav", "pcm_s16le"), ("a.mp3", "libmp3lame"), ("a.flac", "flac"), ("a.webm", "libopus")]
PARTS = [(0.0, None), (0.0, 1.1), (0.37, None), (0.37, 0.9)]


@pytest.mark.parametrize(("name", "codec"), FORMATS)
@pytest.mark.parametrize(("start", "duration"), PARTS)
def test_a_file_has_the_samples_that_are_read(
    encode, name: str, codec: str, start: float, duration: float | None
) -> None:
    path = encode(name, codec)
    expected, sound = read_audio(path, start, duration), open_audio(path, start, duration)
    assert isinstance(sound, AudioFile)
    assert (sound.samples, sound.channels, sound.sample_rate) == (expected.samples, 2, 48000)
    assert sound.path == expected.path and sound.seconds == expected.seconds
    for _ in range(2):
        assert torch.equal(torch.cat(list(sound.blocks()), 1), expected.waveform)
    assert torch.allclose(sound.mono(), expected.mono(), atol=1e-7)


def test_channels_that_cancel_each_other_are_heard(encode, bursts: Tensor) -> None:
    path = encode("a.wav", "pcm_f32le", values=torch.stack((bursts[0], -bursts[0])))
    assert torch.equal(open_audio(path).downmix, read_audio(path).downmix)
    assert open_audio(path).mono().abs().max() > 0.1


def test_the_scale_of_integers_is_that_of_the_whole(encode, bursts: Tensor, caplog: pytest.LogCaptureFixture) -> None:
    path = encode("loud.wav", "pcm_f32le", values=(2.0**15 * bursts).round())
    with caplog.at_level(logging.WARNING):
        sound = open_audio(path)
    assert "divided by 32768" in caplog.text and sound.path is None
    assert torch.equal(torch.cat(list(sound.blocks()), 1), read_audio(path).waveform)


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_nan_anywhere_is_refused(encode, bursts: Tensor, broken: float) -> None:
    values = bursts.clone()
    values[1, 50] = broken
    with pytest.raises(MediaError, match="contains NaN or infinity"):
        open_audio(encode("a.wav", "pcm_f32le", values=values))


def test_what_cannot_be_read_is_refused_as_by_read_audio(tmp_path: Path, encode) -> None:
    with pytest.raises(MediaError, match="does not exist"):
        open_audio(tmp_path / "none.wav")
    path = encode("a.wav", "pcm_s16le")
    with pytest.raises(MediaError, match="ends before 9 s"):
        open_audio(path, start=9)
    with pytest.raises(SettingsError, match="duration"):
        open_audio(path, duration=0.01)
    with pytest.raises(MediaError, match=r"only 0\.010 s long"):
        open_audio(encode("short.wav", "pcm_s16le", values=torch.zeros(1, 480)))


def test_sound_that_changes_its_format_is_read_into_memory(tmp_path: Path, encode) -> None:
    parts = [encode(f"{rate}.mp3", "libmp3lame", rate).read_bytes() for rate in (48000, 24000)]
    (tmp_path / "joined.mp3").write_bytes(b"".join(parts))
    sound = open_audio(tmp_path / "joined.mp3")
    assert isinstance(sound, Audio)
    assert torch.equal(sound.waveform, read_audio(tmp_path / "joined.mp3").waveform)


@pytest.mark.parametrize(("codec", "values"), [("pcm_s16le", 90000), ("pcm_s16le", 96010), ("flac", 96000)])
def test_a_file_that_changes_meanwhile_is_named(encode, bursts: Tensor, codec: str, values: int) -> None:
    """Shorter, longer, or in one channel."""
    sound = open_audio(encode("a.wav", "pcm_s16le"))
    if codec == "flac":
        encode("a.wav", "pcm_s16le", layout="mono")
    else:
        encode("a.wav", codec, values=torch.zeros(2, values))
    with pytest.raises(MediaError, match=r"a\.wav has changed since"):
        list(sound.blocks())


def noise(samples: int) -> Tensor:
    return 0.1 * torch.randn(2, samples, generator=torch.Generator().manual_seed(0))


def cut(sound: Tensor, rate: int, sizes: list[int]) -> Audio:
    """Audio that is handed out in blocks of these sizes, as a file is."""

    class Blocks(Audio):
        def blocks(self):
            yield from self.waveform.split(sizes, 1)

    return Blocks(sound, rate)


def test_windows_are_the_parts_of_the_whole() -> None:
    rate, samples = 100, 730
    sound = noise(samples)
    for audio in (Audio(sound, rate), cut(sound, rate, [1, 199, 3, 500, 27])):
        begins = [0, 200, 400, 600]
        for begin, (window, before) in zip(begins, windows(audio, 2, 1), strict=True):
            assert before == (1 if begin else 0)
            assert torch.equal(window, sound[:, begin - before * rate : begin + 3 * rate])


def test_windows_of_sound_in_memory_are_no_copies() -> None:
    audio = Audio(noise(1000), 100)
    assert {window.untyped_storage().data_ptr() for window, _ in windows(audio, 2, 1)} == {audio.waveform.data_ptr()}
    assert [block.data_ptr() for block in audio.blocks()] == [audio.waveform.data_ptr()]


@pytest.mark.parametrize(("rate", "to"), [(44100, 48000), (8000, 48000), (11025, 16000), (16001, 24000)])
def test_sound_is_resampled_without_a_seam(rate: int, to: int) -> None:
    sound = noise(int((PIECE_SECONDS + 0.51) * rate))
    expected = resample(sound, rate, to)
    found = torch.cat(list(resampled(cut(sound, rate, [rate] * PIECE_SECONDS + [sound.shape[1] % rate]), to)), 1)
    assert found.shape == expected.shape
    assert (found - expected).abs().max() < 1e-6


@pytest.mark.parametrize("layout", ["mono", "stereo", "quad"])
@pytest.mark.parametrize("rate", [24000, 37800])
def test_a_video_has_the_same_sound_from_the_file_as_from_memory(tmp_path, encode, clip, layout, rate) -> None:
    path = encode("a.wav", "pcm_s16le", rate, layout)
    for sound, name in ((read_audio(path), "memory.mp4"), (open_audio(path), "file.mp4")):
        write_video(clip(20), tmp_path / name, 25, sound)
    memory, file = (packets(tmp_path / name) for name in ("memory.mp4", "file.mp4"))
    assert memory == file and len(memory) > 20


def packets(path: Path) -> list[tuple[int, bytes]]:
    with av.open(path) as container:
        return [(packet.pts, bytes(packet)) for packet in container.demux(container.streams.audio[0]) if packet.size]


def test_a_video_does_not_replace_the_sound_that_it_is_made_from(encode, clip) -> None:
    path = encode("a.mp4", "aac")
    with pytest.raises(OutputError):
        write_video(clip(2), path, 25, open_audio(path, duration=0.5))


def test_a_file_is_closed_when_the_video_fails(tmp_path, encode, clip) -> None:
    sound = open_audio(encode("a.wav", "pcm_s16le"))

    def failing():
        yield next(clip(4))
        raise KeyboardInterrupt

    import psutil

    before = psutil.Process().num_fds() if hasattr(psutil.Process, "num_fds") else 0
    with pytest.raises(KeyboardInterrupt):
        write_video(failing(), tmp_path / "out.mp4", 25, sound)
    assert (psutil.Process().num_fds() if before else 0) == before
