"""Foresight: what sessions know of a frame before they dream it: where what was there moved, what memory shows."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from inhabit.worldmodel.memory import pose as poses
from inhabit.worldmodel.memory.album import PLACES, Album, look_up
from inhabit.worldmodel.memory.canvas import Canvas
from inhabit.worldmodel.memory.recall import Recall, turned
from inhabit.worldmodel.omni.autoencoder import Autoencoder, to_float, to_pixels
from inhabit.worldmodel.omni.motion import Motion, carry, places
from inhabit.worldmodel.state import State

MOST_OUTSIDE = 0.25
"""A latent of which more than this share of the pixels comes from outside the frame before is painted."""

SAME = 1e-3
"""Latents nearer than this are the same."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Hint:
    """What sessions know of their next frame before they dream it."""

    carried: Tensor
    """(b, c, h, w); no channels in a world without motion."""
    recalled: Tensor
    """(b, c + 1, h, w); no channels in a world without recall."""
    pose: Tensor
    """(b, 5) of the next frame; nothing in a world without recall."""
    canvas: Canvas
    """Of the next frame, before it is painted."""
    entering: Tensor | None = None
    """(b, h, w) bool: what comes into view and is painted in any case; None in a world that keeps nothing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Opening:
    """What is known of the real frames that sessions begin with."""

    carried: Tensor | None
    """(b, t, c, h, w)."""
    recalled: Tensor | None
    """(b, t, c + 1, h, w)."""
    pixels: Tensor
    """(b, h, w, 3) of the last one."""
    pose: Tensor
    """(b, 5) of the last one; nothing in a world without recall."""
    album: Album
    recent: Tensor
    """(b, history, a) the newest actions."""


class Foresight:
    """Looks ahead for an engine.

    Args:
        keeps: whether places stay what motion carried there, so that it is worth knowing where they come from.
    """

    def __init__(
        self,
        autoencoder: Autoencoder,
        motion: Motion | None,
        recall: Recall | None,
        device: torch.device,
        *,
        keeps: bool,
    ):
        self._autoencoder, self._motion, self._recall, self._device = autoencoder, motion, recall, device
        self.keeps = keeps and motion is not None

    @property
    def history(self) -> int:
        """Actions that a state keeps: as many as motion sees, and two for anchor(), which begins from two frames."""
        return max(2, self._motion.config.history) if self._motion else 2

    def open(self, latents: Tensor, before: Tensor, actions: Tensor, pose: Tensor | None) -> Opening:
        """Walk through the real frames, (b, t, c, h, w), that sessions begin with."""
        b, t = latents.shape[:2]
        history = self.history
        padded = F.pad(actions, (0, 0, history, 0))
        begin = torch.zeros(b, poses.POSE) if pose is None else pose.float()
        pose = (begin if self._recall else begin[:, :0]).to(self._device)
        pixels = self.seen(latents[:, 0])
        album = Album.empty(b, PLACES if self._recall else 0, tuple(pixels.shape[1:]), self._device)
        album = self.remember(album, pixels, pose, self._number(b, 0))
        carried = [torch.zeros_like(latents[:, 0])]
        for index in range(1, t):
            if self._motion:
                told = padded[:, index + 1 : index + 1 + history]
                z, z_before = latents[:, index - 1], before[:, index - 1]
                moved, travel = carry(self._motion, self._autoencoder, to_float(pixels), z, z_before, told)
                carried.append(moved)
                pose = poses.after(pose, travel) if self._recall else pose
            pixels = self.seen(latents[:, index])
            album = self.remember(album, pixels, pose, self._number(b, index))
        nothing = latents.new_zeros(b, t, latents.shape[2] + 1, *latents.shape[3:])
        return Opening(
            carried=torch.stack(carried, 1) if self._motion else None,
            recalled=nothing if self._recall else None,
            pixels=pixels,
            pose=pose,
            album=album,
            recent=padded[:, -history:],
        )

    def hint(self, state: State, actions: Tensor, now: Tensor) -> Hint:
        """What sessions know of their next frame before they dream it."""
        if self._motion is None:
            return Hint(carried=state.carried, recalled=state.recalled, pose=state.pose, canvas=state.canvas)
        shown, canvas, entering = to_float(state.pixels), state.canvas, None
        if self.keeps:
            flow, travel = self._motion(state.latents, state.before, actions)
            cell = shown.shape[-1] // state.latents.shape[-1]
            where = places(flow, (shown.shape[-2], shown.shape[-1]), cell)
            canvas, moved = canvas.move(where, shown)
            carried = self._autoencoder.encode(moved.contiguous(memory_format=torch.channels_last))
            outside = (where.abs() >= 1).any(-1).float()
            entering = F.avg_pool2d(outside[:, None], cell)[:, 0] > MOST_OUTSIDE
        else:
            carried, travel = carry(self._motion, self._autoencoder, shown, state.latents, state.before, actions)
        if self._recall is None:
            return Hint(carried=carried, recalled=state.recalled, pose=state.pose, canvas=canvas, entering=entering)
        album, pose = state.album, poses.after(state.pose, travel)
        place, helps = look_up(album.pose, album.frame, pose, now, self._recall.unit)
        session = torch.arange(len(state), device=self._device)
        pixels, seen = to_float(album.pixels[session, place]), album.pose[session, place]
        recalled = turned(self._recall, self._autoencoder, pixels, seen, carried, pose)
        recalled = recalled * helps[:, None, None, None]
        return Hint(carried=carried, recalled=recalled, pose=pose, canvas=canvas, entering=entering)

    def painted(self, hint: Hint, latents: Tensor, pixels: Tensor) -> Canvas:
        """The canvas of a frame that is made."""
        return hint.canvas.painted((latents - hint.carried).abs().amax(1) < SAME, pixels) if self.keeps else hint.canvas

    def seen(self, latents: Tensor) -> Tensor:
        """Frames as the world itself needs them, (b, h, w, 3) uint8; no rows in a world that does not look."""
        if self._motion:
            return to_pixels(self._autoencoder.decode(latents))
        return torch.zeros(len(latents), 0, 0, 3, dtype=torch.uint8, device=self._device)

    def remember(self, album: Album, pixels: Tensor, pose: Tensor, frame: Tensor) -> Album:
        """The album with frames in it that are worth a place, (b,) their numbers."""
        return album.put(pixels, pose, frame, self._recall.unit) if self._recall else album

    def _number(self, b: int, value: int) -> Tensor:
        return torch.full((b,), value, dtype=torch.int64, device=self._device)
