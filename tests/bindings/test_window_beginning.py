"""`inhabit play --image`: a world that begins in a picture, and what is no picture, through a real sidecar."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from inhabit.bindings.window import Connection
from inhabit.bridge.errors import InhabitError
from inhabit.bridge.pacing import monotonic_ns
from inhabit.bridge.supervisor import Supervisor
from inhabit.commands.__main__ import main

pytest.importorskip("torch")


@pytest.mark.slow
def test_a_picture_is_begun_in_and_what_is_none_is_refused_in_one_line(env_pack, tmp_path, capsys, dummy_display):
    picture, text = tmp_path / "photo.png", tmp_path / "notes.txt"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 160, 3), np.uint8)).save(picture)
    text.write_text("no picture")
    common = ["play", str(env_pack), "--headless", "--seconds", "0.5", "--out", str(tmp_path / "clip.mp4")]
    main([*common, "--image", str(picture)])
    assert (tmp_path / "clip.mp4").stat().st_size > 0
    with pytest.raises(SystemExit):
        main([*common, "--image", str(text)])
    assert "Expected a picture such as PNG or JPEG, got 10 other bytes" in capsys.readouterr().err


def test_files_that_are_not_there_are_named(tmp_path, dummy_display):
    from inhabit.commands.play import Options, run

    with pytest.raises(InhabitError, match=r"Expected a file to begin from, got No such file .*nowhere\.png"):
        run(Options(world="toy", image=tmp_path / "nowhere.png", headless=True))
    with pytest.raises(InhabitError, match="Expected --image or --clip to begin from, got both"):
        run(Options(world="toy", image=tmp_path / "a.png", clip=tmp_path / "b.mp4", headless=True))


@pytest.mark.slow
def test_a_world_that_will_not_begin_has_failed_and_says_why(env_pack):
    connection = Connection("small", supervisor=Supervisor(["serve", str(env_pack)]), options={"image": b"x"})
    connection.start()
    try:
        while connection.state == "loading":
            connection.turn(monotonic_ns())
            connection.poll(0.05)
        assert connection.state == "failed"
        assert "Expected a picture" in connection.reason
    finally:
        connection.close()
