"""The engine: a learnt world as a functional, batched step(state, action). Everything else is a thin shell over it.

A step makes frame t from noise in K passes. The first pass also commits frame t-1 to the ring (fused: one walk through
the weights for both), so a step costs K passes, not K + 1, and the context always holds finished frames.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from inhabit.bridge.errors import WorldError
from inhabit.worldmodel.memory import pose as poses
from inhabit.worldmodel.memory.album import PLACES, Album
from inhabit.worldmodel.memory.atlas import Atlas
from inhabit.worldmodel.memory.canvas import Canvas
from inhabit.worldmodel.memory.foresight import Foresight, Hint, held_in
from inhabit.worldmodel.memory.props import Props
from inhabit.worldmodel.memory.recall import Recall
from inhabit.worldmodel.memory.ring import Ring
from inhabit.worldmodel.memory.vistas import Vistas
from inhabit.worldmodel.omni.air import Air
from inhabit.worldmodel.omni.autoencoder import Autoencoder, to_float, to_pixels
from inhabit.worldmodel.omni.block import CONTEXT_LEVEL, K_MAX, Block, Prediction, earlier_frames
from inhabit.worldmodel.omni.dynamics import Dynamics
from inhabit.worldmodel.omni.edit import Edit
from inhabit.worldmodel.omni.flight import Flight, Thing
from inhabit.worldmodel.omni.foley import Foley
from inhabit.worldmodel.omni.motion import Motion
from inhabit.worldmodel.omni.sound import SEEN, SoundCodec
from inhabit.worldmodel.omni.text import tokenise, words_of
from inhabit.worldmodel.omni.transformer import Past, Words
from inhabit.worldmodel.pack import Pack
from inhabit.worldmodel.response.draws import Draws
from inhabit.worldmodel.response.edits import Edits
from inhabit.worldmodel.response.sounds import Sounds
from inhabit.worldmodel.state import State

STEPS = (1, 2, 4)
"""Sampling steps that can be chosen."""

ENDING_WEIGHT = 10.0
"""How much more a frame that ends an episode weighs in training; taken back when endings are drawn."""

NEWS = 1e-3
"""Gists nearer than this say the same."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What a step brought."""

    reward: Tensor
    """(b,) float32, expected."""
    terminated: Tensor
    """(b,) bool, drawn from the ending chance with the session's own noise."""
    ending_chance: Tensor
    """(b,) float32."""


class Engine:
    """A learnt world on a device."""

    def __init__(
        self,
        autoencoder: Autoencoder,
        dynamics: Dynamics,
        device: torch.device | str = "cpu",
        *,
        motion: Motion | None = None,
        recall: Recall | None = None,
        sound: SoundCodec | None = None,
        foley: Foley | None = None,
        edit: Edit | None = None,
        vistas: Vistas | None = None,
        atlas: Atlas | None = None,
        flight: Flight | None = None,
        air: Air | None = None,
        props: Props | None = None,
    ):
        self.device = torch.device(device)
        self.sound = sound.to(self.device).eval().requires_grad_(False) if sound else None
        self.foley = foley.to(self.device).eval().requires_grad_(False) if foley else None
        self.recall = recall.to(self.device).eval().requires_grad_(False) if recall else None
        self.motion = motion.to(self.device).eval().requires_grad_(False) if motion else None
        self.edit = edit.to(self.device).eval().requires_grad_(False) if edit else None
        self.air = air.to(self.device).eval().requires_grad_(False) if air and edit and motion else None
        self.autoencoder = autoencoder.to(self.device).eval().requires_grad_(False)
        self.dynamics = dynamics.to(self.device).eval().requires_grad_(False)
        self._draws = Draws(dynamics.config)
        self._sounds = Sounds(
            dynamics.config.sound, self.sound, self.foley, self._draws, recall=recall, flight=flight, device=self.device
        )
        self._foresight = Foresight(
            self.autoencoder,
            self.motion,
            self.recall,
            self.device,
            keeps=dynamics.config.keeps,
            vistas=vistas and vistas.to(self.device).eval(),
            atlas=atlas and atlas.to(self.device).eval(),
            flight=flight and flight.to(self.device).eval().requires_grad_(False),
        )
        props = props.to(self.device).eval().requires_grad_(False) if props else None
        self._edits = Edits(self.edit, self.autoencoder, self._foresight, props) if self.edit else None

    @classmethod
    def of(cls, pack: Pack, device: torch.device | str = "cpu") -> Engine:
        """The engine that runs a pack."""
        return cls(pack.autoencoder, pack.dynamics, device, **pack.parts)

    @property
    def taught(self) -> tuple[int, ...]:
        """Numbers of sampling steps that the world was taught."""
        return self.dynamics.config.steps

    @property
    def listens(self) -> bool:
        """Whether the world was learnt with words."""
        return self.dynamics.config.text is not None

    @torch.inference_mode()
    def begin(
        self,
        latents: Tensor,
        actions: Tensor,
        key: Tensor,
        *,
        sound: Tensor | None = None,
        prompts: Sequence[str] | None = None,
        held: Sequence[str] | None = None,
        strength: float = 0.0,
        pose: Tensor | None = None,
    ) -> State:
        """Start sessions from real moments.

        Args:
            latents: (b, t, c, h, w) standardised latents of t frames that follow each other.
            actions: (b, t, a) what led to each of them.
            key: (b,) int64, one for each session.
            sound: (b, t, latent) what was heard, for a world with sound; silence by default.
            prompts: what each of them is told from the beginning; nothing by default.
            held: what holds in those frames, where that may be something else: a world with an edit then changes the
                last of them as `prompts` want it.
            strength: how much further than by itself the picture follows its prompt, 0 to 2 are learnt.
            pose: (b, 5) of the first of those frames, for a world with recall; level, at the usual height by default.
        """
        latents, actions, key = (x.to(self.device) for x in (latents.float(), actions.float(), key))
        b, t = latents.shape[:2]
        config = self.dynamics.config
        latents, air = self._cleared(latents)
        tokens = config.other_tokens + latents.shape[-1] * latents.shape[-2] // config.patch**2
        heard = self._sounds.heard(sound, b, t)
        ring = Ring.empty(config.transformer, b, tokens, self.device)
        zeros = torch.zeros_like(latents[:, :1])
        prompts = [""] * b if prompts is None else prompts
        said = self._read(prompts if self.edit is None or held is None else held)
        before = torch.cat([zeros, latents[:, :-1]], 1)
        opening = self._foresight.open(latents, before, actions, pose)
        flight = self._in_hand(opening.pose, latents.shape[-2])
        strengths = torch.full((b,), strength, device=self.device)
        earlier = earlier_frames(before, config.earlier)
        block = Block(
            noised=self._draws.context(latents, key),
            previous=before,
            earlier=earlier,
            carried=opening.carried,
            recalled=opening.recalled,
            actions=actions,
            level=self._grid(b, t, CONTEXT_LEVEL),
            step=self._grid(b, t, _log2(K_MAX)),
            sound=self._draws.sound_context(heard, key),
            **self._told(said, strengths, t),
        )
        made = self.dynamics(block, newest=1).made
        past = slice(max(0, t - 1 - config.transformer.context), t - 1)
        number = torch.arange(t, device=self.device)[past].expand(b, -1)
        ring = ring.commit(number, [layer[:, :, :, :, past] for layer in made], donate=True)
        state = State(
            ring=ring,
            latents=latents[:, -1],
            before=before[:, -1],
            earlier=before[:, :0] if earlier is None else earlier[:, -1].unflatten(1, (config.earlier, -1)),
            pixels=opening.pixels,
            carried=latents[:, -1, :0] if opening.carried is None else opening.carried[:, -1],
            canvas=Canvas.of(opening.pixels if self._foresight.keeps else opening.pixels[:, :0, :0]),
            recalled=latents[:, -1, :0] if opening.recalled is None else opening.recalled[:, -1],
            album=opening.album,
            pose=opening.pose,
            **held_in(opening.pixels, opening.sides),
            ahead=self._foresight.begun_ahead(opening.pixels, opening.pose, latents.shape[-2]),
            flight=flight,
            air=air,
            actions=opening.recent,
            frame=torch.full((b,), t - 1, device=self.device),
            key=key,
            **said,
            strength=strengths,
            **self._sounds.begin(heard, actions, said["cue"], opening.travel, opening.pose, flight),
        )
        return state if self.edit is None or held is None else self.say(state, prompts)

    def outline(self, b: int, rows: int, columns: int) -> State:
        """What a state of `b` sessions of so many rows and columns of latents looks like: tensors without content,
        on the device "meta", which tell shapes and types.
        """
        config, like = self.dynamics.config, torch.device("meta")
        channels, heads = config.latent_channels, config.transformer.heads
        tokens = config.other_tokens + rows * columns // config.patch**2
        text = config.text.tokens if config.text else 0
        spaces = config.transformer.layers - config.transformer.time_layers
        gist = config.transformer.width if config.text else 0
        words = (spaces, 2, heads, text, config.transformer.head_width) if config.text else (0,)
        size = [side * self.autoencoder.config.factor if self.motion else 0 for side in (rows, columns)]
        vistas = self._foresight.vistas(rows)
        with like:
            latents, whole = torch.zeros(b, channels, rows, columns), torch.zeros(b, dtype=torch.int64)
            pixels = torch.zeros(b, *size, 3, dtype=torch.uint8)
            return State(
                ring=Ring.empty(config.transformer, b, tokens, like),
                album=Album.empty(b, PLACES if self.recall else 0, (*size, 3), like),
                pose=torch.zeros(b, poses.POSE if self.recall else 0),
                recalled=torch.zeros(b, channels + 1, rows, columns) if self.recall else latents[:, :0],
                latents=latents,
                before=latents,
                earlier=torch.zeros(b, config.earlier, *latents.shape[1:]),
                pixels=pixels,
                carried=latents if self.motion else latents[:, :0],
                canvas=Canvas.of(pixels if self._foresight.keeps else pixels[:, :0, :0]),
                **held_in(pixels, vistas and vistas.begin(b, self.autoencoder.config.factor, like)),
                ahead=self._foresight.begun_ahead(pixels, torch.zeros(b, poses.POSE), rows),
                flight=torch.zeros(b, flight.width if (flight := self._foresight.flight(rows)) else 0),
                air=torch.zeros(b, len(self.air.config.kinds) if self.air else 0),
                actions=torch.zeros(b, self._foresight.history, config.actions),
                frame=whole,
                key=whole,
                words=torch.zeros(b, *words),
                gist=torch.zeros(b, gist),
                said=torch.zeros(b, text, dtype=torch.bool),
                asked=torch.zeros(b, text, self.edit.config.coarse_width) if self.edit else torch.zeros(b, 0, gist),
                strength=torch.zeros(b),
                cue=torch.zeros(b, self._sounds.cue),
                sound=torch.zeros(b, SEEN, self._sounds.latent),
                counted=torch.zeros(b, self._sounds.memory),
            )

    @torch.inference_mode()
    def say(self, state: State, prompts: Sequence[str], *, strength: float | None = None) -> State:
        """Give every session a prompt, in mid-stream; the world goes on from where it is.

        Where a world has an edit, the newest frame, which was shown already, is changed as the words want it, the
        album's pictures too, and the next one is dreamt from that. Sessions that are told what they were told before,
        or nothing, stay as they are.
        Raises WorldError in a world that was learnt without words.
        """
        if not self.listens:
            raise WorldError("Expected no prompt: this world was learnt without words")
        strengths = state.strength if strength is None else torch.full_like(state.strength, strength)
        said = self._read(prompts)
        after = replace(
            state, **said, strength=strengths, air=self.air.told(prompts, state.air) if self.air else state.air
        )
        if self._edits is None:
            return after
        news = (said["gist"] - state.gist).abs().amax(1) > NEWS
        chosen = [index for index, prompt in enumerate(prompts) if bool(news[index]) and words_of(prompt)]
        if not chosen:
            return after
        return self._edits.told(after, torch.tensor(chosen, device=self.device), [prompts[n] for n in chosen])

    @torch.inference_mode()
    def step(
        self, state: State, action: Tensor, *, steps: int = 2, donate: bool = False, shown: Tensor | None = None
    ) -> tuple[State, Outcome]:
        """Advance every session by one frame; the given state stays as it was, unless it is given away.

        Args:
            action: (b, a) what each session does.
            steps: sampling steps, one of STEPS; more than it was taught are as many as it was taught.
            donate: the caller is done with `state` and with all that shares its tensors: its ring is written to, not
                copied. To step from it again raises WorldError on a CPU; a GPU is not waited for to find out.
            shown: (b, n) int64 what the dice show, where that is known already; they are rolled by default.
        """
        if steps not in STEPS:
            raise WorldError(f"Expected steps to be one of {STEPS}, got {steps!r}")
        steps = min(steps, max(self.taught))
        if self.device.type == "cpu" and bool(state.ring.holds(state.frame).any()):
            raise WorldError("Expected a state that was not given away, got one that a step with donate=True used up")
        action = action.to(self.device, torch.float32)
        now = state.frame + 1
        fresh = self._draws.fresh(state, now)
        actions = torch.cat([state.actions[:, 1:], action[:, None]], 1)
        hint = self._foresight.hint(state, actions, now, self._draws.vistas(state, now), partial(self._dressed, state))
        entered = self._edits.entered(state, hint, fresh) if self._edits else None
        ring, prediction = self._first_pass(
            state, action, hint, fresh, steps, entered=entered, donate=donate, shown=shown
        )
        pays = prediction.painting.pays  # later steps see what the first one made, and would take it for news
        ending = prediction.ending_logit[:, -1]  # likewise: what is made shows a frame in which nothing has ended
        for index in range(1, steps):
            tau = index / steps
            block = Block(
                noised=(prediction.clean * tau + fresh[:, None] * (1 - tau)),
                previous=state.latents[:, None],
                earlier=self._earlier(state, 1),
                carried=None if self.motion is None else hint.carried[:, None],
                recalled=None if self.recall is None else hint.recalled[:, None],
                actions=action[:, None],
                level=self._grid(len(state), 1, index * K_MAX // steps),
                step=self._grid(len(state), 1, _log2(steps)),
                sound=self._draws.sound_input(state, prediction.sound, now, tau),
                shown=prediction.draw and prediction.draw.painted,
                **self._told(_said(state), state.strength, 1),
            )
            prediction = self._predict(block, ring.past(now), hint, entered, pays=pays)
        latents = prediction.clean[:, -1]
        pixels = self._foresight.seen(latents)
        after = replace(
            state,
            ring=ring,
            latents=latents,
            before=state.latents,
            earlier=torch.cat([state.before[:, None], state.earlier], 1)[:, : state.earlier.shape[1]],
            pixels=pixels,
            carried=hint.carried,
            **self._foresight.painted(hint, latents, pixels),
            recalled=hint.recalled,
            pose=hint.pose,
            album=self._foresight.remember(state.album, pixels, hint.pose, now, hint.flight),
            actions=actions,
            frame=now,
            **self._sounds.following(state, action, hint, now, prediction.sound),
        )
        return after, self._outcome(after, prediction, ending)

    @torch.inference_mode()
    def residual(self, state: State) -> Tensor:
        """How far the newest frames are from what the codec can say: they change by this when decoded and encoded.

        Shape (b,), mean of squares over latents of about unit variance. It grows when a dream leaves what was learnt
        (as Hansen and Wang's round-trip detector, arXiv 2606.27326).
        """
        return self.residual_of(state.latents)

    @torch.inference_mode()
    def residual_of(self, latents: Tensor) -> Tensor:
        """The same for any latents. Shapes: (b, c, h, w) -> (b,)."""
        again = self.autoencoder.encode(self.autoencoder.decode(latents).clamp(-1, 1))
        return (again - latents).square().mean((1, 2, 3))

    @torch.inference_mode()
    def look(self, pixels: Tensor) -> Tensor:
        """Encode pictures to begin from. Shapes: (b, h, w, 3) uint8 -> (b, c, h / factor, w / factor)."""
        return self.autoencoder.encode(to_float(pixels.to(self.device)))

    @torch.inference_mode()
    def anchor(self, state: State) -> State:
        """Soft reset: begin anew from the last two frames as they are seen, without a cut.

        What piled up in the ring is forgotten; words, sound, places and the session's noise stay.
        """
        last = torch.stack([self.autoencoder.decode(state.before), self.autoencoder.decode(state.latents)], 1)
        latents = self.autoencoder.encode(last.flatten(0, 1).clamp(-1, 1)).unflatten(0, last.shape[:2])
        anew = self.begin(latents, state.actions[:, -2:], state.key, sound=state.sound[:, -2:])
        # frames are numbered on: noise must not repeat, and the album must know what is old
        ring = anew.ring.later(state.frame - 1)
        seen = {
            name: getattr(anew, name)
            for name in ("pixels", "canvas", "earlier", "beyond", "taken", "sunk", "held", "hand")
        }
        if state.flight.numel():  # what has left the hand is no part of the world, wherever it is seen
            loose = Thing.unpacked(state.flight).loose > 0
            gone = loose.nonzero()[:, 0]
            held = state.held & loose[:, None, None]
            seen["held"] = anew.held | held
            seen["hand"] = anew.hand.put_sessions(gone, state.hand.select(gone))
            seen["canvas"] = replace(anew.canvas, used=anew.canvas.used & ~held)
        return replace(state, ring=ring, latents=latents[:, 1], before=latents[:, 0], **seen)

    @torch.inference_mode()
    def show(self, state: State) -> Tensor:
        """The newest frames. Shape (b, h, w, 3) uint8, on the engine's device."""
        pixels = state.pixels if self.motion else to_pixels(self.autoencoder.decode(state.latents))
        pose = state.pose if self.recall else torch.zeros(len(state), poses.POSE, device=self.device)
        return self.air.drawn(pixels, state.air, pose, state.frame) if self.air else pixels

    @torch.inference_mode()
    def hear(self, state: State) -> Tensor:
        """The newest frames' sound. Shape (b, samples, channels) int16, on the engine's device; none when silent."""
        return self._sounds.hear(state)

    def _first_pass(
        self,
        state: State,
        action: Tensor,
        hint: Hint,
        fresh: Tensor,
        steps: int,
        *,
        entered: Tensor | None,
        donate: bool,
        shown: Tensor | None,
    ) -> tuple[Ring, Prediction]:
        """Commit the newest frame and take the first denoising step of the next one, in one pass of two frames."""
        b, now = len(state), state.frame + 1
        level = torch.tensor([CONTEXT_LEVEL, 0], device=self.device).expand(b, 2)
        step = torch.tensor([_log2(K_MAX), _log2(steps)], device=self.device).expand(b, 2)
        block = Block(
            noised=torch.stack([self._draws.committed(state), fresh], 1),
            previous=torch.stack([state.before, state.latents], 1),
            earlier=self._earlier(state, 2),
            carried=None if self.motion is None else torch.stack([state.carried, hint.carried], 1),
            recalled=None if self.recall is None else torch.stack([state.recalled, hint.recalled], 1),
            actions=torch.stack([state.actions[:, -1], action], 1),
            level=level,
            step=step,
            sound=self._draws.sound_pair(state, now),
            dice=self._draws.dice(state, now),
            shown=None if shown is None else torch.stack([shown, shown], 1),
            **self._told(_said(state), state.strength, 2),
        )
        prediction = self._predict(block, state.ring.past(now), hint, entered)
        made = [layer[:, :, :, :, :1] for layer in prediction.made]
        return state.ring.commit(state.frame[:, None], made, donate=donate), prediction

    def _predict(
        self, block: Block, past: list[Past], hint: Hint, entered: Tensor | None, *, pays: Tensor | None = None
    ) -> Prediction:
        """Predict the newest frame.

        Args:
            entered: (b, c, h, w) what is painted where something comes into view; the network's own by default.
            pays: (b, 1, h, w) where it is painted; None lets this pass choose.
        """
        prediction = self.dynamics(block, past, newest=1)
        painting = prediction.painting
        if pays is None and painting.pays is not None:
            pays = painting.pays
            if hint.entering is not None:
                pays = pays.masked_fill(hint.entering[:, None], torch.inf)
            if hint.found is not None:
                pays = pays.masked_fill(hint.found[:, None], -torch.inf)
        if pays is not None and hint.still is not None:
            pays = pays.masked_fill(hint.still[:, None, None, None] & painting.alike(pays), -torch.inf)
        if entered is not None and hint.entering is not None:
            mixed = torch.where(hint.entering[:, None, None], entered[:, None], painting.painted)
            painting = replace(painting, painted=mixed)
        painting = replace(painting, pays=pays)
        return replace(prediction, painting=painting, clean=self.autoencoder.within(painting.chosen()))

    def _cleared(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """Real frames, (b, t, c, h, w), without what falls, and how much of it does, (b, kinds)."""
        if self.air is None:
            return latents, latents.new_zeros(len(latents), 0)
        amount = self.air.cleared(self.autoencoder.decode(latents[:, -1]).clamp(-1, 1))[1]
        falls = (amount > 0).any(1).nonzero()[:, 0]
        if len(falls):
            pixels = self.autoencoder.decode(latents[falls].flatten(0, 1)).clamp(-1, 1)
            clear = self.autoencoder.encode(self.air(pixels)[0].clamp(-1, 1))
            latents = latents.index_copy(0, falls, clear.unflatten(0, (len(falls), -1)))
        return latents, amount

    def _in_hand(self, pose: Tensor, rows: int) -> Tensor:
        """What sessions, (b, 5), begin with: nothing has left the hand. Shape (b, d); no numbers without flight."""
        flight = self._foresight.flight(rows)
        return flight.held(pose[:, 4]).packed() if flight else pose[:, :0]

    def _dressed(self, state: State, latents: Tensor, whose: Tensor) -> Tensor:
        """Pictures as they look under the words of the sessions `whose`, (k,) int64."""
        return self._edits.dressed(state, latents, whose) if self._edits else latents

    def _earlier(self, state: State, frames: int) -> Tensor | None:
        """What the newest so many frames, up to the one that is made, see of what was before the one before them."""
        if not self.dynamics.config.earlier:
            return None
        newest = torch.cat([state.before[:, None], state.earlier], 1)
        return torch.stack([newest[:, 1:], newest[:, :-1]], 1)[:, -frames:].flatten(2, 3)

    def _read(self, prompts: Sequence[str]) -> dict[str, Tensor]:
        """What a state holds of b prompts, by name."""
        config, cue = self.dynamics.config, self._sounds.read(prompts)
        if config.text is None:
            nothing = torch.zeros(len(prompts), 0, device=self.device)
            none = nothing[:, None][:, :0]
            return {"words": nothing, "gist": nothing, "said": nothing.bool(), "asked": none, "cue": cue}
        tokens = tokenise(prompts, config.text).to(self.device)
        words, gist = self.dynamics.read(tokens)
        asked = gist[:, None][:, :0] if self.edit is None else self.edit.read(tokens)
        words = words.permute(2, 0, 1, 3, 4, 5)
        return {"words": words, "gist": gist, "said": tokens.filled, "asked": asked, "cue": cue}

    def _told(self, said: dict[str, Tensor], strength: Tensor, frames: int) -> dict[str, Any]:
        """What a block of so many frames is told, in a state's words; nothing in a world without."""
        if not self.listens:
            return {}
        b = len(strength)
        of_frame = torch.arange(b, device=self.device)[:, None].expand(b, frames)
        keys_values = said["words"].permute(1, 2, 0, 3, 4, 5)
        held = Words(keys_values=keys_values, gist=said["gist"], filled=said["said"], of_frame=of_frame)
        return {"words": held, "strength": strength[:, None].expand(b, frames)}

    def _outcome(self, state: State, prediction: Prediction, ending: Tensor) -> Outcome:
        chance = (ending - math.log(ENDING_WEIGHT)).sigmoid()
        drawn = self._draws.ending(state) < chance
        reward = self.dynamics.expected_reward(prediction.reward_logits[:, -1])
        return Outcome(reward=reward, terminated=drawn, ending_chance=chance)

    def _grid(self, b: int, t: int, value: int) -> Tensor:
        return torch.full((b, t), value, dtype=torch.int64, device=self.device)


def _said(state: State) -> dict[str, Tensor]:
    return {"words": state.words, "gist": state.gist, "said": state.said}


def _log2(steps: int) -> int:
    return steps.bit_length() - 1
