"""The real Doom: ViZDoom with its free Freedoom assets, as a World. Only this file knows ViZDoom."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from inhabit.bridge.controls import ActionMap, ActionSource, Controls
from inhabit.bridge.errors import MissingExtraError, WorldError
from inhabit.bridge.frames import Frame
from inhabit.bridge.world import WorldInfo
from inhabit.worldmodel.catalog import did_you_mean
from inhabit.worldmodel.recordings import Box

TICS_HZ = 35.0
VARIABLES = ("HEALTH", "AMMO2", "POSITION_X", "POSITION_Y", "ANGLE", "KILLCOUNT")
WAYS = 16
"""Directions in which DoomWorld.ways() looks."""
LICENCE = "Frames of Freedoom assets (BSD-3-Clause) rendered by ViZDoom (MIT)"

# how a person reaches each of Doom's buttons
_SOURCES = {
    "TURN_LEFT": ActionSource(name="TURN_LEFT", keys=("ArrowLeft", "KeyQ", "PadDpadLeft"), pad=("-PadRX",), mouse="-x"),
    "TURN_RIGHT": ActionSource(
        name="TURN_RIGHT", keys=("ArrowRight", "KeyE", "PadDpadRight"), pad=("+PadRX",), mouse="+x"
    ),
    "MOVE_FORWARD": ActionSource(name="MOVE_FORWARD", keys=("ArrowUp", "KeyW", "PadDpadUp"), pad=("-PadLY",)),
    "MOVE_BACKWARD": ActionSource(name="MOVE_BACKWARD", keys=("ArrowDown", "KeyS", "PadDpadDown"), pad=("+PadLY",)),
    "MOVE_LEFT": ActionSource(name="MOVE_LEFT", keys=("KeyA",), pad=("-PadLX",)),
    "MOVE_RIGHT": ActionSource(name="MOVE_RIGHT", keys=("KeyD",), pad=("+PadLX",)),
    "ATTACK": ActionSource(name="ATTACK", keys=("Space", "ControlLeft", "Mouse0", "PadA"), pad=("+PadRT",)),
    "USE": ActionSource(name="USE", keys=("KeyF", "Enter", "PadX")),
    "SPEED": ActionSource(name="SPEED", keys=("ShiftLeft", "PadLB")),
    "JUMP": ActionSource(name="JUMP", keys=("KeyC", "PadY")),
}
# a scenario with only two directions is played with whichever pair of keys comes to hand
_ALSO = {"TURN_LEFT": "KeyA", "TURN_RIGHT": "KeyD", "MOVE_LEFT": "ArrowLeft", "MOVE_RIGHT": "ArrowRight"}


@dataclass(frozen=True, kw_only=True, slots=True)
class DoomConfig:
    """How the real game is run."""

    width: int = 128
    """Frame width, pixels; the game is rendered at twice the size and averaged down."""

    height: int = 96
    """Frame height, pixels."""

    tics: int = 2
    """Game tics a frame; Doom has 35 a second."""

    sound: bool = True
    """Whether the game's sound is produced (about a third of its time)."""

    labels: bool = True
    """Whether the objects in view are found (for recordings)."""

    depth: bool = False
    """Whether DoomWorld.ways() is to be known (for players that walk)."""


def tics_of(rate_hz: float) -> int:
    """Game tics a frame of a world with so many frames a second."""
    return max(1, round(TICS_HZ / rate_hz))


class DoomWorld:
    """One ViZDoom scenario as a World. It cannot be saved: the game offers no exact state."""

    def __init__(self, scenario: str, config: DoomConfig = DoomConfig()):
        self.config = config
        # else ViZDoom writes its settings into whatever folder the user is in
        settings = Path(tempfile.mkdtemp(prefix="inhabit-vizdoom-"))
        self._clean_up = weakref.finalize(self, shutil.rmtree, settings, ignore_errors=True)
        self._game, self._buttons = _start_game(scenario, config, settings / "vizdoom.ini")
        rate = config.tics and TICS_HZ / config.tics
        self.info = WorldInfo(
            name=f"doom-{scenario.replace('_', '-')}",
            title=f"The real Doom: {scenario.replace('_', ' ')}",
            width=config.width,
            height=config.height,
            rate_hz=rate,
            actions=_action_map(self._buttons),
            sound_rate_hz=22050 if config.sound else 0,
            sound_channels=2 if config.sound else 0,
            licence=LICENCE,
        )
        self._index = -1
        self._pixels = np.zeros((config.height, config.width, 3), np.uint8)
        self._state: Any = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Frame:
        if seed is not None:
            self._game.set_seed(int(seed) % 2**31)
        self._game.new_episode()
        self._index = 0
        self._state = self._game.get_state()
        self._pixels = self._screen()
        return Frame(pixels=self._pixels, index=0, sound=self._heard())

    def step(self, controls: Controls) -> Frame:
        if self._index < 0:
            raise WorldError("Cannot call step() before reset()")
        if self._game.is_episode_finished():
            self._game.new_episode()  # a free-running caller goes on: the game begins anew
            self._state = self._game.get_state()
        pressed = self.info.actions.action(controls) > 0.5
        reward = float(self._game.make_action(pressed.tolist(), self.config.tics))
        self._index += 1
        finished = self._game.is_episode_finished()
        terminated = finished and not self._game.is_episode_timeout_reached()
        if not finished:
            self._state = self._game.get_state()
            self._pixels = self._screen()
        # ViZDoom shows nothing of the tic that ends an episode: the final observation is the one before it
        sound = self._heard() if not finished else np.zeros((self._samples, 2), np.int16)
        return Frame(
            pixels=self._pixels,
            index=self._index,
            sound=sound,
            reward=reward,
            terminated=bool(terminated),
            truncated=bool(finished and not terminated),
        )

    def configure(self, **settings: Any) -> None:
        if settings:
            raise WorldError(f"Expected no settings (this is the real game), got {', '.join(settings)}")

    def save(self) -> bytes:
        raise WorldError("The real game cannot be saved: it offers no exact state; a neural world can")

    def restore(self, state: bytes) -> None:
        raise WorldError("The real game cannot be restored: it offers no exact state; a neural world can")

    def close(self) -> None:
        if self._game is not None:
            self._game.close()
            self._game = None
            self._clean_up()

    def objects(self) -> list[Box]:
        """The objects in view, from ViZDoom's labels buffer, in frame pixels. The player's own weapon is left out."""
        across, down = 256 / self.config.width, 192 / self.config.height
        seen = self._state.labels if self._state is not None and self.config.labels else ()
        return [
            Box(
                name=label.object_name,
                x=int(label.x / across),
                y=int(label.y / down),
                width=max(1, round(label.width / across)),
                height=max(1, round(label.height / down)),
            )
            for label in seen
            if label.object_name != "DoomPlayer"
        ]

    def ways(self) -> tuple[float, ...]:
        """How far the view reaches, from left to right at eye level, in units of ViZDoom's depth buffer (0 to 255);
        nothing without `config.depth`."""
        if self._state is None or self._state.depth_buffer is None:
            return ()
        depth = self._state.depth_buffer
        middle, reach = depth.shape[0] // 2, depth.shape[0] // 24
        nearest = depth[middle - reach : middle + reach].min(0)
        return tuple(float(part.mean()) for part in np.array_split(nearest, WAYS))

    def variables(self) -> tuple[float, ...]:
        """VARIABLES now: health, ammunition, position (map units), angle (degrees), kills."""
        import vizdoom

        return tuple(self._game.get_game_variable(getattr(vizdoom.GameVariable, name)) for name in VARIABLES)

    @property
    def _samples(self) -> int:
        return round(22050 * self.config.tics / TICS_HZ) if self.config.sound else 0

    def _screen(self) -> np.ndarray:
        return shrink(self._state.screen_buffer, self.config.width, self.config.height)

    def _heard(self) -> np.ndarray:
        if not self.config.sound:
            return np.zeros((0, 2), np.int16)
        return np.array(self._state.audio_buffer, np.int16)


def shrink(pixels: np.ndarray, width: int, height: int) -> np.ndarray:
    """Average (h, w, 3) uint8 down by whole factors to (height, width, 3) uint8; other factors go through Pillow."""
    h, w = pixels.shape[:2]
    if h % height == 0 and w % width == 0:
        blocks = pixels.reshape(height, h // height, width, w // width, 3).astype(np.uint16)
        count = (h // height) * (w // width)
        return ((blocks.sum((1, 3)) + count // 2) // count).astype(np.uint8)
    from PIL import Image

    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BOX))


def scenarios() -> tuple[str, ...]:
    """Names of the scenarios that come with ViZDoom."""
    folder = Path(_vizdoom().scenarios_path)
    return tuple(sorted(path.stem for path in folder.glob("*.cfg") if path.with_suffix(".wad").exists()))


def scenario_file(scenario: str) -> Path:
    """Where a scenario's settings lie. Raises WorldError for one that ViZDoom does not have."""
    path = Path(_vizdoom().scenarios_path) / f"{scenario}.cfg"
    if not path.is_file():
        known = scenarios()
        near = did_you_mean(scenario, known)
        raise WorldError(f"Expected a ViZDoom scenario ({', '.join(known)}), got {scenario!r}{near}")
    return path


def _vizdoom() -> Any:
    try:
        import vizdoom
    except ImportError as error:
        raise MissingExtraError("vizdoom", "doom") from error
    return vizdoom


def _start_game(scenario: str, config: DoomConfig, settings: Path) -> tuple[Any, tuple[str, ...]]:
    path = scenario_file(scenario)
    vzd = _vizdoom()
    game = vzd.DoomGame()
    game.load_config(str(path))
    game.set_doom_config_path(str(settings))
    game.set_window_visible(False)
    game.set_mode(vzd.Mode.PLAYER)
    game.set_screen_resolution(vzd.ScreenResolution.RES_256X192)
    game.set_screen_format(vzd.ScreenFormat.RGB24)
    game.set_render_hud(False)
    game.set_labels_buffer_enabled(config.labels)
    game.set_depth_buffer_enabled(config.depth)
    game.set_available_game_variables([getattr(vzd.GameVariable, name) for name in VARIABLES])
    if config.sound:
        game.set_audio_buffer_enabled(True)
        game.set_audio_sampling_rate(vzd.SamplingRate.SR_22050)
        game.set_audio_buffer_size(config.tics)
        game.add_game_args("+snd_efx 0")  # OpenAL's effects abort the game on machines without a sound card
    else:
        game.set_audio_buffer_enabled(False)
    game.init()
    return game, tuple(button.name for button in game.get_available_buttons())


def _action_map(buttons: tuple[str, ...]) -> ActionMap:
    import msgspec

    taken = {key for name in buttons if name in _SOURCES for key in _SOURCES[name].keys}
    sources = []
    for name in buttons:
        source = _SOURCES.get(name, ActionSource(name=name))
        spare = _ALSO.get(name)
        if spare and spare not in taken:
            source = msgspec.structs.replace(source, keys=(*source.keys, spare))
        sources.append(source)
    return ActionMap(sources=tuple(sources))
