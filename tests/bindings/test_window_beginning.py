"""`inhabit play --image`: a world that begins in a picture, and what is no picture, through a real sidecar."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from inhabit.bindings.window import Connection
from inhabit.bridge.errors import InhabitError
from inhabit.bridge.pacing import monotonic_ns
from inhabit.bridge.supervisor import Supervisor
from inhabit.commands.__main__ import main
from inhabit.commands.play import Options, run

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


def test_files_that_are_not_there_are_named(env_pack, tmp_path, dummy_display):
    pack = str(env_pack)
    with pytest.raises(InhabitError, match=r"Expected a picture to begin in, got: No such file .*nowhere\.png"):
        run(Options(world=pack, image=tmp_path / "nowhere.png", headless=True))
    with pytest.raises(InhabitError, match=r"Expected a moment that Insert kept, got: No such file .*nowhere\.moment"):
        run(Options(world=pack, moment=tmp_path / "nowhere.moment", headless=True))
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


@pytest.mark.parametrize("world", ["toy", "isle"])
@pytest.mark.parametrize("name", ["image", "clip", "moment"])
def test_what_only_packs_begin_from_is_refused_to_other_worlds(world, name):
    with pytest.raises(InhabitError, match=f"Expected a pack for --{name}, such as doom-center, got '{world}'"):
        run(replace(Options(world=world, headless=True), **{name: Path("x")}))


def test_steps_are_those_that_the_pack_was_taught(env_pack):
    with pytest.raises(InhabitError, match=r"Expected --steps that the pack was taught, got 3; it was taught 1, 2, 4"):
        run(Options(world=str(env_pack), steps=3))
    with pytest.raises(InhabitError, match=r"Expected a pack for --steps, .* got 'toy', which is not sampled"):
        run(Options(world="toy", steps=2))


def test_a_picture_is_no_clip_and_a_text_is_no_picture(env_pack, tmp_path, dummy_display):
    photo, text = tmp_path / "photo.png", tmp_path / "notes.txt"
    Image.new("RGB", (64, 48)).save(photo)
    text.write_text("hello")
    with pytest.raises(InhabitError, match=r"got a picture - at .*photo\.png; --image begins in one"):
        run(Options(world=str(env_pack), clip=photo, headless=True))
    with pytest.raises(InhabitError, match=r"Expected a picture such as PNG or JPEG, got 5 other bytes - at .*notes"):
        run(Options(world=str(env_pack), image=text, headless=True))


def test_a_keys_file_without_the_world_is_refused(env_pack, tmp_path, dummy_display):
    file = tmp_path / "inhabit" / "keys.toml"
    file.parent.mkdir()
    file.write_text('[smal]\nFIRE = ["KeyF"]\n')
    with pytest.raises(InhabitError, match=r"Expected \[small\] for this world's keys, got \[smal\] - at "):
        run(Options(world=str(env_pack), keys=file))
    file.write_text('[isle]\nJUMP = ["KeyF"]\n')
    with pytest.raises(InhabitError, match=r"Expected a table \[small\] with this world's keys, got only \[isle\]"):
        run(Options(world=str(env_pack), keys=file))
