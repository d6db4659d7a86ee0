"""Foresight: what sessions know of a frame before they dream it: where what was there moved, what memory shows."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from inhabit.worldmodel.memory import pose as poses
from inhabit.worldmodel.memory.ahead import Ahead
from inhabit.worldmodel.memory.album import PLACES, Album, look_up
from inhabit.worldmodel.memory.atlas import Atlas
from inhabit.worldmodel.memory.canvas import Canvas
from inhabit.worldmodel.memory.loose import covered, sprite
from inhabit.worldmodel.memory.recall import Recall, aligned, fetch, turned
from inhabit.worldmodel.memory.vistas import Sides, Vistas
from inhabit.worldmodel.omni.autoencoder import Autoencoder, to_float, to_pixels
from inhabit.worldmodel.omni.flight import Flight, Thing
from inhabit.worldmodel.omni.motion import RIM_PX, Motion, behind, carry, held_still, places, uncovered, warp
from inhabit.worldmodel.state import State

MOST_OUTSIDE = 0.25
"""A latent of which more than this share of the pixels comes from outside the frame before is painted."""

SAME = 1e-3
"""Latents nearer than this are the same."""

REMEMBERED = 0.5
"""A latent of which at least this share is in an album's picture is remembered."""

ALL_REMEMBERED = 0.95
"""A side of which at least this share was in it needs no vista."""

STEPPING = 0.005
"""Who goes by less than this in a frame, in a world's unit, and hardly turns, stands still where there is an atlas:
what motion is off by would carry him on all the while."""

STIRRING_RAD = math.radians(0.1)
"""Likewise who turns and nods by less than this."""

TURNING_RAD = math.radians(0.5)
"""Who turns or nods by less in a frame stands still."""

LEAD_RAD = math.radians(20)
"""Who does looks for pictures of what lies so much further."""

YOUNG = 0.5
"""How much pictures of the last second count where nothing is painted that they show."""

STILL_PX = 0.5
"""Where half of the view moves by less than this, one stands still."""

ANEW_FRAMES = 2
"""So often a world with an atlas shows all of a view by it."""

SWING_PX = 4.0
"""So far from its usual place who walks may hold something."""

GHOST_PX = 3.0
"""An album keeps no picture in which something flies or lies that is larger than this on either side of its middle."""

Dress = Callable[[Tensor, Tensor], Tensor]
"""Changes pictures into what the words of sessions want."""


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
    still: Tensor | None = None
    """(b,) bool: one stands still; None where vistas or an atlas show what there is, and in a world without motion."""
    entering: Tensor | None = None
    """(b, h, w) bool: what comes into view and is painted in any case; None in a world that keeps nothing."""
    found: Tensor | None = None
    """(b, h, w) bool: what comes into view and stays as album, vista or edge show it; None without vistas."""
    sides: Sides | None = None
    """Of the next frame; None in a world without vistas."""
    held: Tensor | None = None
    """(b, h, w) bool: what is held in the view; None in a world without vistas."""
    hand: Canvas | None = None
    """What that is fetched from, before the frame is painted; None in a world without vistas."""
    flight: Tensor | None = None
    """(b, d) of the next frame, see omni.flight.Thing; None in a world without flight."""
    ahead: Ahead | None = None
    """What lies ahead of the next frame; None in a world without vistas or recall."""
    hides: Tensor | None = None
    """(b, h, w) bool: where older pictures show what was held; None where that is `held`."""


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
    travel: Tensor
    """(b, t, 5) that led to each, none to the first; nothing in a world without recall."""
    album: Album
    recent: Tensor
    """(b, history, a) the newest actions."""
    sides: Sides | None
    """Of the last one; None in a world without vistas."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Flown:
    """What left the hand, in the next frame."""

    thing: Thing
    loose: Tensor
    """(b,) bool: whether it ever did; what follows means nothing elsewhere."""
    leaving: Tensor
    """(b,) bool: whether it does so in this frame."""
    alpha: Tensor
    """(b, h, w) how much of each pixel it covers, 0 to 1."""
    sprite: Tensor
    """(b, 3, h, w) in [-1, 1], what it looks like there."""
    hid: Tensor
    """(b, h, w) bool: what it hides in the newest frame."""
    bared: Tensor
    """(b, h, w) bool: what was behind it and nobody knows."""
    in_hand: Tensor
    """(1, h, w) bool: where it is held."""
    hand: Canvas
    """Its picture."""


class Foresight:
    """Looks ahead for an engine.

    Args:
        keeps: whether places stay what motion carried there, so that it is worth knowing where they come from.
        vistas: what comes into view at the sides, in a world that keeps.
        atlas: pictures of all that there is, in a world that keeps and is always the same place.
        flight: where goes what is held, in a world with vistas and recall.
    """

    def __init__(
        self,
        autoencoder: Autoencoder,
        motion: Motion | None,
        recall: Recall | None,
        device: torch.device,
        *,
        keeps: bool,
        vistas: Vistas | None = None,
        atlas: Atlas | None = None,
        flight: Flight | None = None,
    ):
        self._autoencoder, self._motion, self._recall, self._device = autoencoder, motion, recall, device
        self.keeps = keeps and motion is not None
        self._vistas = vistas if self.keeps else None
        self._atlas = atlas if self.keeps and recall is not None else None
        self._flight = flight if self._vistas is not None and recall is not None else None

    def vistas(self, rows: int) -> Vistas | None:
        """The vistas of frames with so many rows of latents, if there are any."""
        return self._vistas if self._vistas is not None and self._vistas.config.grid[0] == rows else None

    def flight(self, rows: int) -> Flight | None:
        """What follows things that leave the hand, in frames with so many rows of latents, if anything does."""
        return self._flight if self.vistas(rows) else None

    def atlas(self, latents: Tensor) -> Atlas | None:
        """The atlas of frames of such latents, (..., h, w), if there is one."""
        return self._atlas if self._atlas is not None and self._atlas.config.grid == latents.shape[-2:] else None

    @property
    def unit(self) -> Tensor | None:
        """The world's usual length; None where nobody knows where one is."""
        return self._recall and self._recall.unit

    @property
    def history(self) -> int:
        """Actions that a state keeps: as many as motion sees, and two for anchor(), which begins from two frames."""
        return max(2, self._motion.config.history) if self._motion else 2

    def open(self, latents: Tensor, before: Tensor, actions: Tensor, pose: Tensor | None) -> Opening:
        """Walk through the real frames, (b, t, c, h, w), that sessions begin with."""
        b, t = latents.shape[:2]
        history = self.history
        padded = F.pad(actions, (0, 0, history, 0))
        pose = self._begun(latents[:, 0]) if pose is None else pose.float().to(self._device)
        pose = pose if self._recall else pose[:, :0]
        pixels = self.seen(latents[:, 0])
        album = Album.empty(b, PLACES if self._recall else 0, tuple(pixels.shape[1:]), self._device)
        album = self.remember(album, pixels, pose, self._number(b, 0))
        carried, travels = [torch.zeros_like(latents[:, 0])], [torch.zeros_like(pose)]
        for index in range(1, t):
            if self._motion:
                told = padded[:, index + 1 : index + 1 + history]
                z, z_before = latents[:, index - 1], before[:, index - 1]
                moved, travel = carry(self._motion, self._autoencoder, to_float(pixels), z, z_before, told)
                carried.append(moved)
                travels.append(travel if self._recall else pose)
                pose = poses.after(pose, travel) if self._recall else pose
            pixels = self.seen(latents[:, index])
            album = self.remember(album, pixels, pose, self._number(b, index))
        vistas = self.vistas(latents.shape[-2])
        nothing = latents.new_zeros(b, t, latents.shape[2] + 1, *latents.shape[3:])
        return Opening(
            carried=torch.stack(carried, 1) if self._motion else None,
            recalled=nothing if self._recall else None,
            pixels=pixels,
            pose=pose,
            travel=torch.stack(travels, 1) if self._motion else latents.new_zeros(b, t, 0),
            album=album,
            recent=padded[:, -history:],
            sides=vistas.begin(b, self._autoencoder.config.factor, self._device) if vistas else None,
        )

    def begun_ahead(self, pixels: Tensor, pose: Tensor, rows: int) -> Ahead:
        """What lies ahead of sessions that begin, or are told something, with so many rows of latents."""
        vistas = self.vistas(rows) if self._recall is not None else None
        return Ahead.begin(pixels, pose[:, 4] if vistas else pose[:, :0], vistas)

    def _begun(self, latents: Tensor) -> Tensor:
        """Where pictures were taken that nobody knows the pose of, (b, c, h, w) -> (b, 5): where they look like."""
        atlas = self.atlas(latents)
        return atlas.located(latents) if atlas else torch.zeros(len(latents), poses.POSE, device=self._device)

    def hint(self, state: State, actions: Tensor, now: Tensor, dice: Tensor, dress: Dress) -> Hint:
        """What sessions know of their next frame before they dream it.

        Args:
            dice: (b, 2) in (0, 1]: which vistas go on at its sides, where there are any.
            dress: changes latents, (k, c, h, w), into what the words of sessions, (k,) int64, want.
        """
        if self._motion is None:
            return Hint(carried=state.carried, recalled=state.recalled, pose=state.pose, canvas=state.canvas)
        moved = None
        if self.keeps:
            more, travel, moved = self._kept(state, actions, dice, dress)
        else:
            shown = to_float(state.pixels)
            cell = shown.shape[-1] / state.latents.shape[-1]
            flow, travel = self._motion(state.latents, state.before, actions)
            carried = self._encoded(warp(shown, flow, cell)[0])
            more = {"carried": carried, "canvas": state.canvas, "still": _still(flow, cell)}
        if self._recall is None:
            return Hint(recalled=state.recalled, pose=state.pose, **more)
        if moved is not None and (atlas := self.atlas(state.latents)):
            goes = (travel[:, :3].norm(dim=1) > STEPPING * self._recall.unit) | (
                travel[:, 3:].norm(dim=1) > STIRRING_RAD
            )
            pose = atlas.within(poses.after(state.pose, travel), self._recall.unit)
            pose = torch.where(goes[:, None], pose, state.pose)
            return Hint(**(more | self._shown(atlas, more, moved, pose, goes, now % ANEW_FRAMES == 0)))
        album, pose = state.album, poses.after(state.pose, travel)
        ahead, entering, found = pose, more.get("entering"), more.get("found")
        if entering is not None:  # what comes into view shall be remembered, what is in view is there
            turning = travel[:, 3:] * (travel[:, 3:].abs() > TURNING_RAD)
            ahead = torch.cat([pose[:, :3], pose[:, 3:] + LEAD_RAD * turning.sign()], 1)
        young = 0.0 if found is None else YOUNG  # what is painted knows by the ring what is young
        place, helps = look_up(album.pose, album.frame, ahead, now, self._recall.unit, young=young)
        session = torch.arange(len(state), device=self._device)
        pixels, seen = to_float(album.pixels[session, place]), album.pose[session, place]
        hides = more.get("held") if more.get("hides") is None else more["hides"]
        recalled = turned(self._recall, self._autoencoder, pixels, seen, more["carried"], pose, hides)
        recalled = recalled * helps[:, None, None, None]
        if found is not None and entering is not None:
            back = (entering | found) & (recalled[:, -1] >= REMEMBERED)
            more |= {"found": found | back, "entering": entering & ~back, "canvas": more["canvas"].without(back)}
            more["carried"] = torch.where(back[:, None], recalled[:, :-1], more["carried"])
        return Hint(recalled=recalled, pose=pose, **more)

    def _shown(
        self, atlas: Atlas, more: dict[str, Any], moved: Tensor, pose: Tensor, goes: Tensor, due: Tensor
    ) -> dict[str, Any]:
        """Parts of a Hint in a world with an atlas: what is in view moves on, and what comes into view is shown by the
        atlas. Where that is due, all of it is, so that nothing is moved for long.

        Args:
            more: what there is without.
            moved: (b, 3, h, w) the newest frames as they move.
            pose: (b, 5) of the next ones.
            goes: (b,) bool: sessions that do not stand still, and may be elsewhere than is believed.
            due: (b,) bool: sessions that are shown all of it.
        """
        assert self._recall is not None
        recall, canvas, size = self._recall, more["canvas"], (moved.shape[-2], moved.shape[-1])
        number = atlas.nearest(pose, recall.unit)
        pictures, seen = atlas.pixels(number, self.seen), atlas.pose[number].float()
        pixels, nearness = to_float(pictures), recall.nearness(more["carried"], pose)
        lost = (due & goes).nonzero()[:, 0]
        if len(lost):
            believed = (part[lost] for part in (nearness, pixels, seen, moved, pose))
            pose = pose.index_copy(0, lost, atlas.within(aligned(recall, *believed), recall.unit))
        where, inside = recall.find(nearness, seen, pose, size)
        shows = (inside[:, 0] > 0) & (due[:, None, None] | ~canvas.used)
        latents = self._encoded(torch.where(shows[:, None], fetch(pixels, where), moved))
        known = F.avg_pool2d(inside, size[1] // latents.shape[-1])
        anew = Canvas.of(pictures)
        anew = replace(anew, place=where, used=shows)
        canvas = replace(canvas, used=canvas.used & ~shows)
        return {
            "carried": latents,
            "recalled": torch.cat([latents * (known > 0), known], 1),
            "entering": more["entering"] & (known[:, 0] < REMEMBERED),
            "canvas": canvas.put_sessions(due.nonzero()[:, 0], anew.select(due)),
            "pose": pose,
        }

    def _kept(self, state: State, actions: Tensor, dice: Tensor, dress: Dress) -> tuple[dict[str, Any], Tensor, Tensor]:
        """Parts of a Hint, in a world that keeps, the travel, and the pixels as they move; see hint()."""
        assert self._motion is not None
        shown, canvas, vistas = to_float(state.pixels), state.canvas, self.vistas(state.latents.shape[-2])
        flow, travel = self._motion(state.latents, state.before, actions)
        cell = shown.shape[-1] // state.latents.shape[-1]
        where = visible = places(flow, (shown.shape[-2], shown.shape[-1]), cell)
        if vistas is None:
            where = where if self._vistas is None else uncovered(where)  # others paint it
            canvas, moved = canvas.move(where, shown)
            entering = _mostly((where.abs() >= 1).any(-1), cell)
            # an atlas changes what is encoded: until then, the frame before is about what will be seen
            carried = state.latents if self.atlas(state.latents) else self._encoded(moved)
            still = None if self._vistas or self._atlas else _still(flow, cell)
            return {"carried": carried, "canvas": canvas, "entering": entering, "still": still}, travel, moved

        def opened(latents: Tensor, whose: Tensor) -> Tensor:
            return self.seen(dress(latents, whose))

        held = held_still(visible, self._stars(travel, shown.shape[-1]), state.held)
        hidden = held  # where the newest frame does not show the world
        flown = self._flown(state, actions, travel) if self._flight else None
        if flown is not None:
            held = torch.where(flown.loose[:, None, None], flown.alpha > 0, held)
            hidden = torch.where(flown.loose[:, None, None], flown.hid, hidden)
            canvas = replace(canvas, used=canvas.used & ~flown.bared)
        holds = hidden.any((1, 2))
        where = behind(visible, hidden)
        if not bool(holds.all()):  # or nobody knows yet
            where = torch.where(holds[:, None, None, None], where, uncovered(visible))
        sides = Sides(pixels=state.beyond, taken=state.taken, sunk=state.sunk)
        coming = vistas.go_on(sides, shown, where, self._unknown(state), dice, opened)
        outside = (where.abs() >= 1).any(-1) & ~held
        unfound = outside & ~coming.there.any(1) & (where[..., 1].abs() < 1)  # above and below the edge goes on
        entering, unfound = _mostly(outside, cell), _mostly(unfound, cell)
        canvas = canvas.renewed(coming.fresh, state.pixels, coming.begun, hidden)
        canvas, moved = canvas.move(where, shown, coming, hidden)
        if flown is not None:  # what it hid is a guess: seen and moved in every frame, it would wear off
            chosen = flown.leaving.nonzero()[:, 0]
            canvas = canvas.put_sessions(chosen, Canvas.of(to_pixels(moved[chosen]), coming.sides.taken[chosen]))
        more: dict[str, Any] = {}
        if self._recall is not None:
            moved, changed, more["ahead"] = self._ahead(state, moved, travel, dice, opened)
            canvas = replace(canvas, used=canvas.used & ~changed)
        hand, stays = state.hand.move(visible, shown)
        if flown is None:
            moved = torch.where(held[:, None], stays, moved)
        else:
            loose = flown.loose.nonzero()[:, 0]
            hand = hand.put_sessions(loose, flown.hand.select(loose))
            alpha = torch.where(flown.loose[:, None, None], flown.alpha, held.float())[:, None]
            moved = torch.lerp(moved, torch.where(flown.loose[:, None, None, None], flown.sprite, stays), alpha)
            hides = held | (flown.in_hand & flown.loose[:, None, None])
            more |= {"flight": flown.thing.packed(), "hides": hides}
        return (
            {
                "carried": self._encoded(moved),
                "canvas": canvas,
                "entering": entering & unfound,
                "found": entering & ~unfound,
                "sides": coming.sides,
                "held": held,
                "hand": hand,
                **more,
            },
            travel,
            moved,
        )

    def _ahead(
        self,
        state: State,
        moved: Tensor,
        travel: Tensor,
        dice: Tensor,
        opened: Callable[[Tensor, Tensor], Tensor],
    ) -> tuple[Tensor, Tensor, Ahead]:
        """The next views, (b, 3, h, w), with what comes to sight ahead, where that is, (b, h, w) bool, and the rest of
        it."""
        vistas, recall = self.vistas(state.latents.shape[-2]), self._recall
        assert vistas is not None
        assert recall is not None
        ahead = state.ahead
        if not ahead.usual.numel():  # a state from before there was any
            ahead = self.begun_ahead(state.pixels, state.pose, state.latents.shape[-2])
        hand = self._in_hand((moved.shape[-2], ahead.picture.shape[2])) if self._flight else None
        ahead, comes = ahead.go_on(travel, recall.unit, vistas, dice[:, 0], opened, hand)
        if not bool(comes.any()):
            return moved, torch.zeros_like(moved[:, 0], dtype=torch.bool), ahead
        pose = poses.after(state.pose, travel)
        near = F.interpolate(recall.nearness(state.latents, pose), size=moved.shape[-2:], mode="bilinear")[:, 0]
        focal = recall.zoom.exp() * (ahead.picture.shape[2] / 2)
        return *ahead.seen(moved, near, pose[:, 4], focal, comes), ahead

    def _in_hand(self, size: tuple[int, int]) -> Tensor:
        """Where something is held in views of so many rows and columns. Shape (1, h, w) bool."""
        assert self._flight is not None
        grip = self._flight.grip
        return _wider(covered(F.pad(grip + grip.new_tensor([0, 0, SWING_PX]), (0, 1), value=1.0)[None], size) > 0)

    def _flown(self, state: State, actions: Tensor, travel: Tensor) -> Flown:
        """What left the hand, one frame on, as it is seen; a picture of it is kept when it leaves."""
        flight, size = self._flight, (state.pixels.shape[1], state.pixels.shape[2])
        assert flight is not None
        pose, was = poses.after(state.pose, travel), Thing.unpacked(state.flight)
        thing = flight.step(was, actions[:, -2:], travel, pose)
        loose = thing.loose > 0
        leaving = loose & (was.loose == 0)
        kept, seen = flight.grip, flight.shown_at(thing, pose[:, 4])
        in_hand = self._in_hand(size)
        bared = in_hand & leaving[:, None, None] & ~state.held
        chosen = leaving.nonzero()[:, 0]
        hand = state.hand.put_sessions(chosen, Canvas.of(state.pixels[chosen]))
        return Flown(
            thing=thing,
            loose=loose,
            leaving=leaving,
            alpha=covered(seen, size),
            sprite=sprite(to_float(hand.picture), kept, seen),
            hid=_wider(state.held) | (in_hand & leaving[:, None, None]),
            bared=bared,
            in_hand=in_hand,
            hand=hand,
        )

    def _encoded(self, pixels: Tensor) -> Tensor:
        return self._autoencoder.encode(pixels.contiguous(memory_format=torch.channels_last))

    def _stars(self, travel: Tensor, width: int) -> Tensor:
        """By how many pixels turning moves what is infinitely far away; not at all where nobody knows. Shape (b,)."""
        if self._recall is None:
            return torch.zeros(len(travel), device=self._device)
        return travel[:, 3:].norm(dim=1) * self._recall.zoom.exp() * (width / 2)

    def _unknown(self, state: State) -> Tensor:
        """Which sides the album did not show all of when the newest frame was made. Shape (b, 2) bool."""
        if self._recall is None:
            return torch.ones(len(state), 2, dtype=torch.bool, device=self._device)
        known = state.recalled[:, -1]
        return torch.stack([known[..., 0].mean(1), known[..., -1].mean(1)], 1) < ALL_REMEMBERED

    def painted(self, hint: Hint, latents: Tensor, pixels: Tensor) -> dict[str, Any]:
        """What a state holds of the canvases and sides of a frame that is made."""
        if not self.keeps:
            return {"canvas": hint.canvas}
        kept = (latents - hint.carried).abs().amax(1) < SAME
        canvas = hint.canvas.painted(kept, pixels, hint.sides and hint.sides.taken, hint.held)
        if hint.hand is None or hint.sides is None:
            return {"canvas": canvas}
        sides = {"beyond": hint.sides.pixels, "taken": hint.sides.taken, "sunk": hint.sides.sunk, "held": hint.held}
        sides |= {} if hint.ahead is None else {"ahead": hint.ahead}
        hand = hint.hand.painted(kept, pixels, only=hint.held)
        if hint.flight is None:
            return {"canvas": canvas, "hand": hand, **sides}
        loose = (Thing.unpacked(hint.flight).loose > 0).nonzero()[:, 0]  # what it looks like was seen in the hand
        return {
            "canvas": canvas,
            "hand": hand.put_sessions(loose, hint.hand.select(loose)),
            "flight": hint.flight,
            **sides,
        }

    def seen(self, latents: Tensor) -> Tensor:
        """Frames as the world itself needs them, (b, h, w, 3) uint8; no rows in a world that does not look."""
        if self._motion:
            return to_pixels(self._autoencoder.decode(latents))
        return torch.zeros(len(latents), 0, 0, 3, dtype=torch.uint8, device=self._device)

    def remember(
        self, album: Album, pixels: Tensor, pose: Tensor, frame: Tensor, flight: Tensor | None = None
    ) -> Album:
        """The album with frames in it that are worth a place, (b,) their numbers.

        Args:
            flight: of these frames, where something may have left the hand.
        """
        if not self._recall:
            return album
        worth = None
        if flight is not None and self._flight is not None:
            thing = Thing.unpacked(flight)
            seen = self._flight.seen_at(thing, pose[:, 4])
            flies = (thing.in_hand < 0.5) & (covered(seen, (pixels.shape[1], pixels.shape[2])).amax((1, 2)) > 0)
            worth = ~(flies & (seen[:, 2] > GHOST_PX))
        return album.put(pixels, pose, frame, self._recall.unit, worth=worth)

    def _number(self, b: int, value: int) -> Tensor:
        return torch.full((b,), value, dtype=torch.int64, device=self._device)


def held_in(pixels: Tensor, sides: Sides | None) -> dict[str, Any]:
    """What a state holds of its sides, and of what is held in the view, when it begins with these pixels.

    Args:
        sides: where a world has vistas.
    """
    if sides is None:
        nothing = torch.zeros(len(pixels), 0, device=pixels.device)
        parts = {"beyond": pixels[:, None][:, :0], "taken": nothing, "sunk": nothing, "held": nothing.bool()}
        return {**parts, "hand": Canvas.of(pixels[:, :0, :0])}
    held = torch.zeros_like(pixels[..., 0], dtype=torch.bool)
    parts = {"beyond": sides.pixels, "taken": sides.taken, "sunk": sides.sunk, "held": held}
    return {**parts, "hand": Canvas.of(pixels)}


def _still(flow: Tensor, cell: float) -> Tensor:
    """Whether sessions stand still, by how the view moves. Shapes: (b, 2, rows, columns) -> (b,) bool."""
    return flow.norm(dim=1).flatten(1).median(1).values * cell < STILL_PX


def _wider(pixels: Tensor) -> Tensor:
    """What is held reaches beyond where it is sure. Shapes: (b, h, w) bool -> the same."""
    return F.max_pool2d(pixels.float()[:, None], 2 * RIM_PX + 1, stride=1, padding=RIM_PX)[:, 0] > 0


def _mostly(pixels: Tensor, cell: int) -> Tensor:
    """Latents of which too much is unknown. Shapes: (b, h, w) bool -> (b, h / cell, w / cell) bool."""
    return F.avg_pool2d(pixels.float()[:, None], cell)[:, 0] > MOST_OUTSIDE
