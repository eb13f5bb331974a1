"""A long video whose run was cancelled, or whose ComfyUI has crashed, is taken up by queueing it again."""

import wave
from collections.abc import Callable
from pathlib import Path

import pytest
from comfyui_harness.movie import read_movie
from comfyui_harness.server import ComfyServer, Event
from comfyui_harness.workflow import changed, load_prompt, only
from websockets.exceptions import ConnectionClosed

SAMPLER, SAVE = "PortraitTalkAnimateNetSampler", "PortraitTalkSaveVideo"


@pytest.mark.slow
def test_a_crash_and_a_cancel_cost_the_last_piece_only(comfyui_path: Path, repository: Path, tmp_path: Path) -> None:
    server = ComfyServer(comfyui_path, repository, tmp_path)
    try:
        with wave.open(str(repository / "portraittalk/assets/demo/speech.wav")) as demo:
            settings, sound = demo.getparams(), demo.readframes(demo.getnframes())
        with wave.open(str(server.input / "long.wav"), "wb") as file:
            file.setparams(settings)
            file.writeframes(sound * 2)
        prompt = load_prompt(repository / "example_workflows" / "basic.json", server.object_info)
        prompt = changed(
            prompt,
            {
                "PortraitTalkLoadAudio": {"audio": "long.wav", "duration": 0.0},
                "PortraitTalkIdentityEncode": {"max_side": 256},
                SAMPLER: {"output": "video file"},
            },
        )
        kept = tmp_path / "user" / "portraittalk" / "unfinished"
        pieces: list[int] = []

        def when_pieces_are_there(count: int, then: Callable[[], None]) -> Callable[[Event], None]:
            def watch(event: Event) -> None:
                found = len(list(kept.glob("*/*.mp4")))
                if event.type == "progress_state" and found >= count and len(pieces) < count:
                    pieces.append(found)
                    then()

            return watch

        with pytest.raises((ConnectionClosed, TimeoutError, OSError)):
            server.run(prompt, when_pieces_are_there(1, server.kill))
        server = ComfyServer(comfyui_path, repository, tmp_path)
        run = server.run(prompt, when_pieces_are_there(2, server.interrupt))
        assert run.ending.type == "execution_interrupted" and len(list(kept.glob("*/*.mp4"))) >= pieces[-1] >= 2
        (first,) = kept.glob("*/00000000.mp4")
        before, seen = first.stat().st_mtime_ns, set()
        run = server.run(
            prompt, lambda event: seen.update(path.stat().st_mtime_ns for path in kept.glob(f"*/{first.name}"))
        )
        (path,) = run.shown(only(prompt, SAVE), server.output)
        movie = read_movie(path)
        assert len(movie.frames) == round(2 * settings.nframes / settings.framerate * 25) and movie.sound is not None
        assert seen == {before} and not list(kept.iterdir())
    finally:
        server.stop()
