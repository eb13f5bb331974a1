"""Damaged and odd files that mutations found: read, or refused in a sentence."""

import struct

import numpy as np
import pytest
import torch

from portraittalk.errors import MediaError
from portraittalk.media.audio import read_audio


def test_tags_of_another_encoding_do_not_matter(tmp_path, encode):
    path = encode("tagged.mkv", "pcm_s16le")
    data = path.read_bytes()
    place = data.find(b"Lavf")  # the tag that names the muxer
    assert place > 0
    path.write_bytes(data[:place] + b"\xe9\xc2 \xff" + data[place + 4 :])
    assert read_audio(path).samples == 96000


def test_samples_of_64_bits_are_read(tmp_path, encode, bursts):
    """PCM with 64-bit integers, which FFmpeg writes and PyAV has no type for."""
    path = encode("wide.wav", "pcm_s32le", layout="mono")
    data = bytearray(path.read_bytes())
    place = data.find(b"data")
    samples = np.frombuffer(data[place + 8 :], "<i4").astype("<i8") << 32
    data[20:22], data[28:36] = b"\1\0", struct.pack("<IHH", 8 * 48000, 8, 64)
    path.write_bytes(data[:place] + b"data" + struct.pack("<I", samples.nbytes) + samples.tobytes())
    assert torch.allclose(read_audio(path).waveform, bursts[:1], atol=1e-4)


@pytest.mark.parametrize(("rate", "words"), [(0, "tagged|sample rate|cannot be read"), (1, "sample rate in Hz")])
def test_a_sample_rate_that_no_sound_has_is_refused(tmp_path, encode, rate, words):
    path = encode("rate.wav", "pcm_s16le")
    data = bytearray(path.read_bytes())
    data[24:28] = rate.to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(MediaError, match=words):
        read_audio(path)
