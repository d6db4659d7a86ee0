"""The state of a batch of sessions: everything that a learnt world is between two frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from inhabit.worldmodel.memory.ahead import Ahead
from inhabit.worldmodel.memory.album import Album
from inhabit.worldmodel.memory.canvas import Canvas
from inhabit.worldmodel.memory.ring import Ring


@dataclass(frozen=True, kw_only=True, slots=True)
class State:
    """Everything that a batch of sessions is. Tensors only: keep it, copy it, index it, fork it."""

    ring: Ring
    album: Album
    """Key frames of where each session has been; no places in a world without recall."""
    pose: Tensor
    """(b, 5) where the eye is, as far as the world can tell, from where the session began."""
    recalled: Tensor
    """(b, c + 1, h, w) what the album showed of the newest frame; no channels in a world without recall."""
    latents: Tensor
    """(b, c, h, w) the newest frame, finished but not yet committed."""
    before: Tensor
    """(b, c, h, w) the frame before it."""
    earlier: Tensor
    """(b, earlier, c, h, w) the frames before that one, the newest first; none in a world that does not look back."""
    pixels: Tensor
    """(b, h, w, 3) uint8 the newest frame as it is shown; no rows in a world that does not look at it, one without
    motion: there Engine.show() decodes it when somebody asks."""
    carried: Tensor
    """(b, c, h, w) the frame before the newest as motion carried it; no channels in a world without motion."""
    canvas: Canvas
    """What the newest pixels that only moved were fetched from; no rows in a world that keeps nothing."""
    ahead: Ahead
    """What comes to sight where one walks; no rows in a world without vistas."""
    hand: Canvas
    """Likewise of what is held in the view; no rows in a world without vistas."""
    beyond: Tensor
    """(b, 2, h, width, 3) uint8 what lies beyond the left and the right edge, see memory.vistas.Sides; nothing in a
    world without vistas."""
    taken: Tensor
    """(b, 2) float32 columns of that which are behind the edge already; nothing in a world without vistas."""
    sunk: Tensor
    """(b, 2) float32 pixels by which the view beside it has moved down; nothing in a world without vistas."""
    held: Tensor
    """(b, h, w) bool what is held in the view, and hides the world behind it; nothing in a world without vistas."""
    flight: Tensor
    """(b, d) where what was held in the view is now, see omni.flight.Thing; nothing in a world without flight."""
    air: Tensor
    """(b, kinds) how much of what may fall does, 0 to 1; nothing where that is a part of the picture."""
    actions: Tensor
    """(b, history, a) what led to the newest frames, the newest last."""
    frame: Tensor
    """(b,) int64 number of the newest frame."""
    key: Tensor
    """(b,) int64 where each session's noise comes from."""
    words: Tensor
    """(b, space layers, 2, heads, tokens, head_width) each prompt, read; nothing in a wordless world."""
    gist: Tensor
    """(b, d) what each prompt says as a whole; nothing in a wordless world."""
    said: Tensor
    """(b, tokens) bool: which of those tokens hold a word."""
    asked: Tensor
    """(b, tokens, d) each prompt as the edit reads it; nothing in a world without."""
    cue: Tensor
    """(b, d) each prompt as the sound follows it; nothing where the dynamics makes the sound."""
    sound: Tensor
    """(b, SEEN, latent) sound latents of the newest frames, the newest last; none in a silent world."""
    counted: Tensor
    """(b, d) what foley remembers of what was done and heard; nothing where the dynamics makes the sound."""
    strength: Tensor
    """(b,) float32: how much further than by itself the picture follows its prompt, 0 as it is."""

    def __len__(self) -> int:
        return len(self.frame)

    def select(self, sessions: Tensor) -> State:
        """The named sessions as a batch of their own; naming one several times forks it."""
        rest = {name: getattr(self, name)[sessions] for name in _PLAIN}
        return State(**{name: getattr(self, name).select(sessions) for name in _PARTS}, **rest)

    @staticmethod
    def join(parts: Sequence[State]) -> State:
        """Several batches as one; their sessions go on as they would have alone."""
        rest = {name: torch.cat([getattr(part, name) for part in parts]) for name in _PLAIN}
        joined = {name: kind.join([getattr(part, name) for part in parts]) for name, kind in _PARTS.items()}
        return State(**joined, **rest)

    @torch.inference_mode()
    def put(self, sessions: Tensor, fresh: State, *, donate: bool = False) -> State:
        """The same batch, with some sessions, (k,) int64, replaced by those of `fresh`.

        Args:
            donate: the ring is written to, not copied: this state is spent.
        """
        rest = {name: getattr(self, name).index_copy(0, sessions, getattr(fresh, name)) for name in _PLAIN}
        parts = {name: getattr(self, name) for name in _PARTS if name != "ring"}
        parts = {name: part.put_sessions(sessions, getattr(fresh, name)) for name, part in parts.items()}
        return State(ring=self.ring.put(sessions, fresh.ring, donate=donate), **parts, **rest)

    def tensors(self) -> dict[str, Tensor]:
        """All of it by name, such as "latents" and "ring.frame"; from_tensors() is the inverse."""
        named = {name: getattr(self, name) for name in _PLAIN}
        for part in _PARTS:
            whole = getattr(self, part)
            named |= {f"{part}.{f.name}": getattr(whole, f.name) for f in fields(whole)}
        return named

    @staticmethod
    def from_tensors(named: Mapping[str, Tensor]) -> State:
        """Raises KeyError for what is missing; what came later than a state has nothing in it."""
        sides = {"beyond": named["pixels"][:, None][:, :0], "taken": named["strength"][:, None][:, :0]}
        sides["canvas.edge"] = torch.zeros(len(named["frame"]), 2, device=named["frame"].device)
        sides |= dict.fromkeys(("cue", "counted", "flight", "air"), named["strength"][:, None][:, :0])
        taken = named.get("taken", sides["taken"])
        sides["sunk"] = torch.zeros_like(taken)
        hand = Canvas.of(named["pixels"] if taken.numel() else named["pixels"][:, :0, :0])
        sides |= {f"hand.{f.name}": getattr(hand, f.name) for f in fields(hand)}
        nobody = torch.zeros(len(named["frame"]), device=named["frame"].device)
        ahead = Ahead.begin(named["pixels"], nobody, None)
        sides |= {f"ahead.{f.name}": getattr(ahead, f.name) for f in fields(ahead)}
        sides["held"] = torch.zeros_like(named["pixels"][..., 0] if taken.numel() else taken, dtype=torch.bool)
        named = {"earlier": named["before"][:, None][:, :0], "asked": named["gist"][:, None][:, :0], **sides, **named}
        parts = {
            name: kind(**{f.name: named[f"{name}.{f.name}"] for f in fields(kind)}) for name, kind in _PARTS.items()
        }
        return State(**parts, **{name: named[name] for name in _PLAIN})

    def to(self, device: torch.device) -> State:
        return State.from_tensors({name: value.to(device) for name, value in self.tensors().items()})


_PARTS = {"ring": Ring, "album": Album, "ahead": Ahead, "canvas": Canvas, "hand": Canvas}
"""The parts of a State that are made of tensors themselves."""

_PLAIN = tuple(f.name for f in fields(State) if f.name not in _PARTS)
"""Those that are tensors with one row for each session."""
