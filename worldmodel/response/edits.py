"""What words change in sessions that go on: the newest picture, those remembered, and what comes into view."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from inhabit.worldmodel.memory import pose as poses
from inhabit.worldmodel.memory.album import Album
from inhabit.worldmodel.memory.canvas import Canvas
from inhabit.worldmodel.memory.foresight import Foresight, Hint
from inhabit.worldmodel.memory.props import Props
from inhabit.worldmodel.memory.vistas import NOTHING
from inhabit.worldmodel.omni.autoencoder import Autoencoder, to_float
from inhabit.worldmodel.omni.edit import Edit
from inhabit.worldmodel.omni.flight import Thing
from inhabit.worldmodel.state import State

TOGETHER = 16
"""Pictures of an album that are changed at once."""

NEAR = 0.5
"""Units by which one may have stood elsewhere for what is put into the newest picture to be in an older one, too."""


class Edits:
    """Carries prompts out, for an engine."""

    def __init__(self, edit: Edit, autoencoder: Autoencoder, foresight: Foresight, props: Props | None = None):
        self._edit, self._autoencoder, self._foresight = edit, autoencoder, foresight
        self._props = props if foresight.unit is not None else None  # who does not know where one is has no places

    def told(self, state: State, sessions: Tensor, prompts: Sequence[str]) -> State:
        """The state with the newest frames and the albums of some sessions, (k,) int64, as their prompts want them."""
        latents, before = (self._changed(state, seen[sessions], sessions) for seen in (state.latents, state.before))
        pixels, places = self._foresight.seen(latents), None
        if self._props is not None:
            key, frame = state.key[sessions], state.frame[sessions]
            places = self._props.arranged(latents, pixels, prompts, key, frame)
        if places is not None and bool(places.any()):
            pixels, latents = self._furnished(state, latents, places, sessions)
            _, before = self._furnished(state, before, places, sessions)
        changed = {"latents": latents, "before": before, "pixels": pixels}
        changed = {name: getattr(state, name).index_copy(0, sessions, value) for name, value in changed.items()}
        if self._foresight.keeps:
            seen, held = changed["pixels"][sessions], state.held[sessions] if state.held.numel() else None
            changed["canvas"] = state.canvas.put_sessions(sessions, Canvas.of(seen, held=held))
            if held is not None:
                changed["hand"] = state.hand.put_sessions(sessions, Canvas.of(self._handed(state, seen, sessions)))
        if state.ahead.usual.numel():  # and others come ahead
            seen, pose = changed["pixels"][sessions], state.pose[sessions]
            fresh = self._foresight.begun_ahead(seen, pose, state.latents.shape[-2])
            changed["ahead"] = state.ahead.put_sessions(sessions, fresh)
        taken = state.taken.index_fill(0, sessions, NOTHING)  # other pictures go on at its sides
        return replace(state, **changed, album=self._remembered(state, sessions, places), taken=taken)

    def dressed(self, state: State, latents: Tensor, whose: Tensor) -> Tensor:
        """Pictures, (k, c, h, w), as they look under the words of the sessions `whose`, (k,) int64; as they are where
        nothing was said."""
        spoken = state.said[whose, 1:].any(1)
        return torch.where(spoken[:, None, None, None], self._changed(state, latents, whose), latents)

    def entered(self, state: State, hint: Hint, fresh: Tensor) -> Tensor | None:
        """The next frame with what comes into view painted, (b, c, h, w); None where nothing does that is neither
        remembered nor found, and where that is left to the dynamics.

        Args:
            fresh: (b, c, h, w) noise that it is made from.
        """
        if not self._edit.config.fills or hint.entering is None or not bool(hint.entering.any()):
            return None
        every = torch.arange(len(state), device=fresh.device)
        return self._changed(state, hint.carried, every, ~hint.entering, fresh)

    def _handed(self, state: State, seen: Tensor, sessions: Tensor) -> Tensor:
        """What shows things in the hand of some sessions: their newest frames, `seen`, (k, h, w, 3), or where something
        has left it, what they saw then, as their prompts want it."""
        if not state.flight.numel():
            return seen
        loose = (Thing.unpacked(state.flight[sessions]).loose > 0).nonzero()[:, 0]
        if not len(loose):
            return seen
        whose = sessions[loose]
        last = self._autoencoder.encode(to_float(state.hand.picture[whose]))
        return seen.index_copy(0, loose, self._foresight.seen(self._changed(state, last, whose)))

    def _furnished(self, state: State, latents: Tensor, places: Tensor, sessions: Tensor) -> tuple[Tensor, Tensor]:
        """The newest pictures of some sessions with what is put into them: pixels, and latents, which stay as they are
        elsewhere."""
        plain = self._foresight.seen(latents)
        pixels = self._with(state, plain, places, sessions, state.pose[sessions])
        there = F.max_pool2d((pixels != plain).any(3)[:, None].float(), self._autoencoder.config.factor) > 0
        return pixels, torch.where(there, self._autoencoder.encode(to_float(pixels)), latents)

    def _with(self, state: State, pixels: Tensor, places: Tensor, whose: Tensor, pose: Tensor) -> Tensor:
        """Pictures of the sessions `whose`, (n,) int64, seen from the poses (n, 5), with what was put into the newest:
        nothing where one stood elsewhere."""
        assert self._props is not None
        assert self._foresight.unit is not None
        travel = poses.between(state.pose[whose], pose)
        near = travel[:, :3].norm(dim=1) <= NEAR * self._foresight.unit
        return self._props.put(pixels, places * near[:, None, None], travel[:, 3], travel[:, 4])

    def _remembered(self, state: State, sessions: Tensor, places: Tensor | None) -> Album:
        """The album with the pictures of some sessions as their prompts want them: a place that one comes back to is
        remembered as it would look now."""
        owner, place = (state.album.frame[sessions] >= 0).nonzero(as_tuple=True)
        if not len(owner):
            return state.album
        pixels = state.album.pixels.clone()
        for some in torch.arange(len(owner), device=owner.device).split(TOGETHER):
            whose = sessions[owner[some]]
            where = whose, place[some]
            seen = self._autoencoder.encode(to_float(pixels[where]))
            changed = self._foresight.seen(self._changed(state, seen, whose))
            if places is not None:
                changed = self._with(state, changed, places[owner[some]], whose, state.album.pose[where])
            pixels[where] = changed
        return replace(state.album, pixels=pixels)

    def _changed(
        self, state: State, latents: Tensor, whose: Tensor, known: Tensor | None = None, noise: Tensor | None = None
    ) -> Tensor:
        """Pictures, (n, c, h, w), as the prompts of the sessions `whose`, (n,) int64, want them."""
        changed = self._edit.change(latents, state.asked[whose], state.said[whose], known, noise)
        return self._autoencoder.within(changed)
