"""Unusual audio streams: what is read, and what is written beside the frames, starts and ends together."""

import struct
from fractions import Fraction
from io import BytesIO
from pathlib import Path

import av
import pytest
import torch
from PIL import Image
from torch import Tensor

from portraittalk.media.audio import Audio, read_audio
from portraittalk.media.movie import copies_sound
from portraittalk.media.resample import resample
from portraittalk.media.video import write_video

RATE = 48000
PART = 0.3  # seconds compared at the beginning and at the end


@pytest.fixture(scope="module")
def words() -> Tensor:
    """0.8 seconds of noise below 4 kHz (2, T) at 48 kHz: no shift of it looks like another."""
    noise = 0.3 * torch.randn(2, 6400, generator=torch.Generator().manual_seed(3))
    return resample(noise, 8000, RATE).clamp(-0.99, 0.99)


@pytest.fixture
def lags(lag):
    """By how many milliseconds audio comes later than other audio, at its beginning and at its end."""

    def lags(heard: Audio, original: Audio) -> tuple[float, float]:
        one, other = (resample(audio.waveform[:1], audio.sample_rate, RATE)[0] for audio in (heard, original))
        count, part = min(len(one), len(other)), round(PART * RATE)
        ends = slice(0, part), slice(count - part, count)
        begin, end = (lag(one[where], other[where]) * 1000 / RATE for where in ends)
        return begin, end

    return lags


def still(audio: Audio) -> list[Tensor]:
    """One chunk of black frames, as long as the audio at 25 fps."""
    return [torch.zeros(round(audio.seconds * 25), 3, 32, 32)]


def joined(path: Path, *parts: Path) -> Path:
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path


def written_in_step(tmp_path: Path, audio: Audio, kind: str, lags) -> Audio:
    """Write the audio beside still frames, check its times and return what was written."""
    out = tmp_path / f"written.{kind}"
    write_video(still(audio), out, 25, audio)
    heard = read_audio(out)
    assert abs(heard.seconds - audio.seconds) < 0.03
    assert all(abs(late) < 1 for late in lags(heard, audio))
    return heard


CHANGES = {  # of the format in the middle of a stream: (suffix, codec, first rate and layout, second rate and layout)
    "mp3 gains a channel": ("mp3", "libmp3lame", (24000, "mono"), (24000, "stereo")),
    "mp3 loses a channel": ("mp3", "libmp3lame", (24000, "stereo"), (24000, "mono")),
    "mp3 changes its rate": ("mp3", "libmp3lame", (24000, "mono"), (44100, "mono")),
    "aac gains a channel": ("aac", "aac", (22050, "mono"), (22050, "stereo")),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_format_that_changes_inside_the_stream(tmp_path: Path, encode, words: Tensor, lags, change: str) -> None:
    suffix, codec, *formats = CHANGES[change]
    files = [
        encode(f"{k}.{suffix}", codec, rate, layout, {"aac": "adts"}.get(suffix), resample(words, RATE, rate))
        for k, (rate, layout) in enumerate(formats)
    ]
    first, second = (read_audio(file) for file in files)
    audio = read_audio(joined(tmp_path / f"joined.{suffix}", *files))
    assert audio.sample_rate == max(rate for rate, _ in formats)
    assert audio.waveform.shape[0] == max(part.waveform.shape[0] for part in (first, second))
    padding = 0.15  # encoders pad at both ends, and what lies at the seam is heard
    assert 0 <= audio.seconds - first.seconds - second.seconds < padding
    assert abs(lags(audio, first)[0]) < 1
    rest = Audio(audio.waveform[:, round(first.seconds * audio.sample_rate) :], audio.sample_rate)
    assert 0 <= lags(rest, second)[0] < 1000 * padding
    assert audio.path is None
    written_in_step(tmp_path, audio, "mp4", lags)


def test_a_stream_that_changes_often_keeps_time(tmp_path: Path, encode, words: Tensor, lags) -> None:
    files = [
        encode(f"{rate}.aac", "aac", rate, "mono", "adts", resample(words[:, :4800], RATE, rate))
        for rate in (22050, 44100)
    ]
    once = sum(read_audio(file).seconds for file in files)
    audio = read_audio(joined(tmp_path / "joined.aac", *files * 20))
    assert abs(audio.seconds - 20 * once) < 2 / 44100


def test_a_part_across_the_change(tmp_path: Path, encode, words: Tensor) -> None:
    files = [
        encode(f"{rate}.mp3", "libmp3lame", rate, "mono", values=resample(words, RATE, rate)) for rate in (24000, 44100)
    ]
    path = joined(tmp_path / "joined.mp3", *files)
    whole, part = read_audio(path), read_audio(path, start=0.5, duration=0.7)
    assert part.seconds == pytest.approx(0.7, abs=1e-4)
    expected = whole.waveform[:, 22050 : 22050 + part.samples]
    assert (part.waveform - expected).abs().mean() < 0.01


@pytest.mark.parametrize("rate", [8000, 11025, 12000])
def test_mp3_that_mp4_does_not_take_is_encoded(tmp_path: Path, encode, words: Tensor, lags, rate: int) -> None:
    audio = read_audio(encode("slow.mp3", "libmp3lame", rate, "mono", values=resample(words, RATE, rate)))
    assert audio.path is not None and not copies_sound("mp4", audio)
    written_in_step(tmp_path, audio, "mp4", lags)


def test_copying_is_tried_out_without_frames(encode, words: Tensor) -> None:
    audio = read_audio(encode("a.mp3", "libmp3lame", 24000, "mono", values=resample(words, RATE, 24000)))
    assert copies_sound("mp4", audio)
    assert not copies_sound("webm", audio) and not copies_sound("gif", audio) and not copies_sound("png", audio)
    assert not copies_sound("mp4", Audio(audio.waveform, audio.sample_rate)) and not copies_sound("mp4", None)


def test_a_chain_of_ogg_files(tmp_path: Path, encode, words: Tensor, lags) -> None:
    path = joined(tmp_path / "chain.ogg", *(encode(name, "libopus", values=words) for name in ("1.ogg", "2.ogg")))
    audio = read_audio(path)
    assert audio.samples == 2 * words.shape[1]
    assert written_in_step(tmp_path, audio, "webm", lags).samples == audio.samples
    written_in_step(tmp_path, audio, "mp4", lags)
    part = read_audio(path, start=1.2, duration=0.3)
    assert part.samples == round(0.3 * RATE)
    assert abs(lags(part, Audio(audio.waveform[:, round(1.2 * RATE) :], RATE))[0]) < 1


def test_opus_with_a_wrong_codec_delay_starts_at_its_first_sample(tmp_path: Path, encode, words: Tensor, lags) -> None:
    path = encode("recorded.webm", "libopus", values=words)
    data = path.read_bytes()
    right, wrong = ((number).to_bytes(3, "big") for number in (6_500_000, 3_250_000))  # ns: 312 samples, and half
    assert data.count(b"\x56\xaa\x83" + right) == 1
    path.write_bytes(data.replace(b"\x56\xaa\x83" + right, b"\x56\xaa\x83" + wrong))
    audio, original = read_audio(path), Audio(words, RATE)
    assert audio.samples == words.shape[1]
    assert all(abs(late) < 0.1 for late in lags(audio, original))
    for kind in ("webm", "mp4"):
        assert all(abs(late) < 1 for late in lags(written_in_step(tmp_path, audio, kind, lags), original))


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF])
def test_wav_headers_of_streams_that_never_knew_their_size(encode, words: Tensor, size: int) -> None:
    path = encode("stream.wav", "pcm_s16le", values=words)
    data = bytearray(path.read_bytes())
    at = data.index(b"data") + 4
    data[4:8] = data[at : at + 4] = struct.pack("<I", size)
    path.write_bytes(data)
    assert (read_audio(path).waveform - words).abs().max() < 1e-4


@pytest.mark.parametrize(("container", "options"), [("w64", {}), ("wav", {"rf64": "always"})])
def test_wav_beyond_4_gb(tmp_path: Path, words: Tensor, container: str, options: dict[str, str]) -> None:
    path = tmp_path / "long.wav"
    with av.open(path, "w", format=container, options=options) as output:
        stream = output.add_stream("pcm_s16le", rate=RATE, layout="stereo")
        frame = av.AudioFrame.from_ndarray(words.numpy(), format="fltp", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = RATE, 0, Fraction(1, RATE)
        output.mux([*stream.encode(frame), *stream.encode(None)])
    assert path.read_bytes()[:4] == {"w64": b"riff", "wav": b"RF64"}[container]
    assert (read_audio(path).waveform - words).abs().max() < 1e-4


@pytest.mark.parametrize(("rate", "channels"), [(8000, 1), (11025, 3), (192000, 16), (384000, 2)])
def test_every_rate_and_number_of_channels(tmp_path: Path, lags, rate: int, channels: int) -> None:
    noise = torch.randint(-9000, 9000, (rate // 2, channels), generator=torch.Generator().manual_seed(0)).short()
    header = struct.pack("<HHIIHH", 1, channels, rate, 2 * channels * rate, 2 * channels, 16)
    data = noise.numpy().tobytes()
    path = tmp_path / "a.wav"
    path.write_bytes(
        b"RIFF" + struct.pack("<I", 36 + len(data)) + b"WAVEfmt " + struct.pack("<I", 16) + header
        + b"data" + struct.pack("<I", len(data)) + data
    )  # fmt: skip
    audio = read_audio(path)
    assert audio.sample_rate == rate
    assert torch.equal(audio.waveform, noise.T / 2**15)
    write_video(still(audio), tmp_path / "a.mp4", 25, audio)
    assert abs(read_audio(tmp_path / "a.mp4").seconds - 0.5) < 0.03


def test_cover_art_is_no_video(tmp_path: Path, encode, words: Tensor, lags) -> None:
    picture = BytesIO()
    Image.new("RGB", (64, 64)).save(picture, format="PNG")
    art = b"\x00image/png\x00\x03\x00" + picture.getvalue()
    frame = b"APIC" + struct.pack(">I", len(art)) + b"\x00\x00" + art
    size = bytes(len(frame) >> shift & 127 for shift in (21, 14, 7, 0))
    plain = encode("plain.mp3", "libmp3lame", values=words)
    path = tmp_path / "song.mp3"
    path.write_bytes(b"ID3\x03\x00\x00" + size + frame + plain.read_bytes())
    with av.open(path) as container:
        assert len(container.streams.video) == 1
    assert torch.equal(read_audio(path).waveform, read_audio(plain).waveform)
    written_in_step(tmp_path, read_audio(path), "mp4", lags)


@pytest.mark.parametrize("container", ["ipod", "mpegts"])
def test_clocks_that_do_not_begin_at_zero(tmp_path: Path, encode, words: Tensor, lags, container: str) -> None:
    """An m4a whose edit list leaves out the first 0.2 s, and a transport stream, which begins anywhere.

    The latter has no room to say that the encoder's first 1024 samples are not to be heard.
    """
    plain = encode("plain.m4a", "aac", container="ipod", values=words)
    path = tmp_path / "moved.m4a"
    seconds = -0.2 if container == "ipod" else 3.0
    with av.open(plain) as source, av.open(path, "w", format=container) as output:
        stream = output.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux(audio=0):
            if packet.pts is not None:
                packet.pts += round(seconds / packet.time_base)
                packet.dts, packet.stream = packet.pts, stream
                output.mux(packet)
    audio = read_audio(path)
    heard = words[:, round(0.2 * RATE) :] if container == "ipod" else torch.nn.functional.pad(words, (1024, 0))
    assert lags(audio, Audio(heard, RATE)) == pytest.approx((0, 0), abs=0.05)
    written_in_step(tmp_path, audio, "mp4", lags)
