"""What words change in sessions that go on: the newest picture, those remembered, and what comes into view."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from inhabit.worldmodel.memory import pose as poses
from inhabit.worldmodel.memory.album import Album
from inhabit.worldmodel.memory.canvas import Canvas
from inhabit.worldmodel.memory.foresight import Foresight, Hint
from inhabit.worldmodel.memory.vistas import NOTHING
from inhabit.worldmodel.omni.autoencoder import Autoencoder, to_float
from inhabit.worldmodel.omni.edit import Edit
from inhabit.worldmodel.omni.flight import Thing
from inhabit.worldmodel.omni.layout import Layout
from inhabit.worldmodel.state import State

TOGETHER = 16
"""Pictures of an album that are changed at once."""

NEAR = 0.5
"""Units by which one may have stood elsewhere for things that come to be in an older picture, too."""


class Edits:
    """Carries prompts out, for an engine."""

    def __init__(self, edit: Edit, autoencoder: Autoencoder, foresight: Foresight, layout: Layout | None = None):
        self._edit, self._autoencoder, self._foresight = edit, autoencoder, foresight
        self._layout = layout if edit.config.kinds and foresight.unit is not None else None

    def told(self, state: State, sessions: Tensor, prompts: Sequence[str]) -> State:
        """The state with the newest frames and the albums of some sessions, (k,) int64, as their prompts want them."""
        places = self._arranged(state, sessions, prompts)
        come = None if places is None else self._come(state, places, sessions, state.pose[sessions])
        latents, before = (
            self._changed(state, seen[sessions], sessions, come=come) for seen in (state.latents, state.before)
        )
        changed = {"latents": latents, "before": before, "pixels": self._foresight.seen(latents)}
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

    def _arranged(self, state: State, sessions: Tensor, prompts: Sequence[str]) -> Tensor | None:
        """Where things come in some sessions that their prompts want and that are not in view; see omni.layout."""
        if self._layout is None:
            return None
        return self._layout.arranged(state.latents[sessions], prompts, state.key[sessions], state.frame[sessions])

    def _come(self, state: State, places: Tensor, whose: Tensor, pose: Tensor) -> Tensor:
        """How much of each latent they take up in pictures of the sessions `whose`, (n,) int64, seen from the poses
        (n, 5): nothing where one stood elsewhere."""
        assert self._layout is not None
        size = (state.latents.shape[-2], state.latents.shape[-1])
        travel, unit = poses.between(state.pose[whose], pose), self._foresight.unit
        assert unit is not None
        near = travel[:, :3].norm(dim=1) <= NEAR * unit
        return self._layout.covers(places, size, travel[:, 3], travel[:, 4]) * near[:, None, None, None]

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
            come = None
            if places is not None:
                come = self._come(state, places[owner[some]], whose, state.album.pose[where])
            pixels[where] = self._foresight.seen(self._changed(state, seen, whose, come=come))
        return replace(state.album, pixels=pixels)

    def _changed(
        self,
        state: State,
        latents: Tensor,
        whose: Tensor,
        known: Tensor | None = None,
        noise: Tensor | None = None,
        come: Tensor | None = None,
    ) -> Tensor:
        """Pictures, (n, c, h, w), as the prompts of the sessions `whose`, (n,) int64, want them."""
        changed = self._edit.change(latents, state.asked[whose], state.said[whose], known, noise, come)
        return self._autoencoder.within(changed)
