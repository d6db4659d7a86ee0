"""What a session hears: the sound that goes with each frame."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from inhabit.worldmodel.memory.foresight import Hint
from inhabit.worldmodel.memory.pose import between
from inhabit.worldmodel.memory.recall import Recall
from inhabit.worldmodel.omni.flight import Flight, Thing
from inhabit.worldmodel.omni.foley import Foley, felt
from inhabit.worldmodel.omni.sound import SEEN, SoundCodec, SoundConfig
from inhabit.worldmodel.response.draws import Draws
from inhabit.worldmodel.state import State


class Sounds:
    """Makes and decodes sound, for an engine.

    Args:
        config: how sound is coded; None for a silent world.
        codec: None for a world that is not listened to.
        foley: makes the sound; without it, it is what the dynamics guesses.
        recall: knows the world's unit, where foley feels how one moves.
        flight: follows what is thrown, where it feels that.
    """

    def __init__(
        self,
        config: SoundConfig | None,
        codec: SoundCodec | None,
        foley: Foley | None,
        draws: Draws,
        *,
        recall: Recall | None,
        flight: Flight | None,
        device: torch.device,
    ):
        self.latent = config.latent if config else 0
        self.cue = foley.cue_width if foley else 0
        self.memory = foley.memory_width if foley else 0
        self._codec, self._foley, self._draws, self._device = codec, foley, draws, device
        self._recall, self._flight = recall, flight

    def heard(self, sound: Tensor | None, b: int, t: int) -> Tensor:
        """What sessions begin with. Shape (b, t, latent), silence unless there is something better."""
        if not self.latent or sound is None:
            return torch.zeros(b, t, self.latent, device=self._device)
        return sound.to(self._device).float()

    def read(self, prompts: Sequence[str]) -> Tensor:
        """Prompts as the sound follows them. Shape (p, cue)."""
        return self._foley.read(prompts) if self._foley else torch.zeros(len(prompts), 0, device=self._device)

    def begin(
        self, heard: Tensor, actions: Tensor, cue: Tensor, travel: Tensor, pose: Tensor, flight: Tensor
    ) -> dict[str, Tensor]:
        """What a state holds of the sound of its first frames: "sound" and "counted".

        Shapes: (b, t, latent), (b, t, a), (b, cue), (b, t, 5), (b, 5), (b, d); the last three may have no numbers.
        """
        b, t, _ = heard.shape
        counted = torch.zeros(b, 0, device=heard.device)
        if self._foley:
            before = F.pad(heard[:, :-1], (0, 0, 1, 0))
            cues = cue[:, None].expand(-1, t, -1)
            senses = [self._senses(travel[:, index], pose, flight) for index in range(t)]
            counted = self._foley.listen(self._foley.silence(b), before, actions, torch.stack(senses, 1), cues)[1]
        return {"sound": F.pad(heard, (0, 0, max(0, SEEN - t), 0))[:, -SEEN:], "counted": counted}

    def following(
        self, state: State, action: Tensor, hint: Hint, now: Tensor, guessed: Tensor | None
    ) -> dict[str, Tensor]:
        """The same after the next frame.

        Args:
            action: (b, a) that leads to it.
            hint: what was known of it beforehand.
            now: (b,) its number.
            guessed: (b, 1, latent) what the dynamics says; None in a silent world.
        """
        if guessed is None:
            return {}
        counted = state.counted
        if self._foley:
            noise = self._draws.foley(state, now)
            travel = between(state.pose, hint.pose) if state.pose.numel() else state.pose
            flight = state.flight if hint.flight is None else hint.flight
            senses = self._senses(travel, hint.pose, flight)
            made, counted = self._foley.step(counted, state.sound[:, -1], action, senses, state.cue, noise)
            guessed = made[:, None]
        return {"sound": torch.cat([state.sound[:, 1:], guessed], 1), "counted": counted}

    def _senses(self, travel: Tensor, pose: Tensor, flight: Tensor) -> Tensor:
        """What foley feels of a travel, and of what has left the hand. Shape (b, senses)."""
        assert self._foley is not None
        senses = self._foley.config.senses
        if not senses:
            return torch.zeros(len(travel), 0, device=self._device)
        if self._recall is None or not travel.numel():
            return torch.zeros(len(travel), senses, device=self._device)
        parts = [felt(travel, self._recall.unit)]
        if self._flight:  # in views of other sizes nothing flies
            thing = Thing.unpacked(flight) if flight.numel() else self._flight.held(pose[:, 4])
            parts.append(self._flight.felt(thing, pose))
        senses_told = torch.cat(parts, 1)
        return F.pad(senses_told, (0, senses - senses_told.shape[1]))

    def hear(self, state: State) -> Tensor:
        """The newest frames' sound. Shape (b, samples, channels) int16; none when silent."""
        if self._codec is None:
            return torch.zeros(len(state), 0, 2, dtype=torch.int16, device=self._device)
        samples = self._codec.decode_newest(state.sound)
        return (samples * 32767).round().clamp(-32768, 32767).to(torch.int16)
