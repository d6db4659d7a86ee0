"""One session of a learnt world behind the World contract: what a sidecar serves and a script steps."""

from __future__ import annotations

import hashlib
import os
import secrets
import time
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load as tensors_from_bytes
from safetensors.torch import save as tensors_to_bytes

from inhabit.bridge.controls import Controls
from inhabit.bridge.errors import WorldError
from inhabit.bridge.frames import Frame
from inhabit.worldmodel.engine import STEPS, Engine, Outcome, State
from inhabit.worldmodel.memory.ring import Ring
from inhabit.worldmodel.omni.text import unknown_words, words_of
from inhabit.worldmodel.pack import Pack, Starts, load_pack

STRONGEST = 2.0
"""Prompt strengths up to this are learnt."""

LONGEST_PROMPT = 512
"""Characters, as on the wire."""

TUNING_STEPS = 5
"""Steps that are timed for each number of threads."""


def choose_device(wanted: str = "auto") -> torch.device:
    """The device to run on. Raises WorldError when CUDA is asked for and not there."""
    there = torch.cuda.is_available()
    if wanted == "auto":
        return torch.device("cuda" if there else "cpu")
    if wanted == "cuda" and not there:
        raise WorldError("Expected a CUDA device, this machine offers none - use --device cpu")
    if wanted not in ("cpu", "cuda"):
        raise WorldError(f"Expected a device auto, cpu or cuda, got {wanted!r}")
    return torch.device(wanted)


class NeuralWorld:
    """A world made of one pack's engine and one session's state.

    After a frame that ends an episode the next step begins a new life at another start; the frame index goes on.
    """

    def __init__(self, pack: Pack, engine: Engine):
        self.info = pack.file.info
        self.steps = pack.file.steps
        self._engine = engine
        self._starts: Starts = pack.starts
        self._state: State | None = None
        self._vocabulary = pack.file.vocabulary
        self._prompt, self._strength = "", 0.0
        self._index = 0
        self._lives = 0
        self._over = False

    @classmethod
    def open(cls, folder: Path, *, device: str = "auto") -> NeuralWorld:
        pack = load_pack(folder)
        return cls(pack, Engine(pack.autoencoder, pack.dynamics, choose_device(device), sound=pack.sound))

    def tune(self) -> int:
        """Choose how many CPU threads make a step fastest here and now, and return the number.

        On a busy machine fewer threads are faster: with two of them, each layer waits for the one that was held up.
        """
        if self._engine.device.type != "cpu":
            return torch.get_num_threads()
        state = self._engine.begin(self._starts.latents[:1], self._starts.actions[:1], torch.tensor([0]))
        action = torch.zeros(1, self.info.actions.size)
        cores = os.cpu_count() or 1
        best = (float("inf"), torch.get_num_threads())
        for threads in sorted({1, max(1, cores // 2), cores}):
            torch.set_num_threads(threads)
            self._engine.step(state, action)
            times = []
            for _ in range(TUNING_STEPS):
                started = time.perf_counter()
                self._engine.step(state, action)
                times.append(time.perf_counter() - started)
            best = min(best, (sorted(times)[len(times) // 2], threads))
        torch.set_num_threads(best[1])
        return best[1]

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Frame:
        """Begin at one of the pack's starts: options={"start": n} names it, else the seed chooses.

        options={"prompt": text} tells a world that listens to words from the beginning what it shall be.
        """
        options = options or {}
        unknown = set(options) - {"start", "prompt"}
        if unknown:
            raise WorldError(f"Expected reset options among ['prompt', 'start'], got {sorted(unknown)}")
        prompt = self._checked_prompt(options["prompt"]) if "prompt" in options else None
        key = secrets.randbits(62) if seed is None else _mixed(int(seed), 0)
        start = options.get("start", _mixed(key, 1) % len(self._starts))
        if not isinstance(start, int) or not 0 <= start < len(self._starts):
            raise WorldError(f"Expected a start from 0 to {len(self._starts) - 1}, got {start!r}")
        self._index, self._lives, self._over = 0, 0, False
        # who says nothing begins in what held when the start was recorded
        self._prompt = prompt if prompt is not None else self._starts.prompts[start] if self._starts.prompts else ""
        self._begin(start, key)
        return self._frame(None)

    def step(self, controls: Controls) -> Frame:
        if self._state is None:
            raise WorldError("Cannot call step() before reset()")
        action = torch.from_numpy(self.info.actions.action(controls))[None]
        if self._over:
            self._lives += 1
            key = _mixed(int(self._state.key[0]), self._lives)
            self._begin(_mixed(key, 1) % len(self._starts), key)
        self._state, outcome = self._engine.step(self._state, action, steps=self.steps)
        self._index += 1
        return self._frame(outcome)

    def configure(self, **settings: Any) -> str | None:
        """Settings: `steps`, and where the world listens to words `prompt` (text) and `strength` (0 to 2).

        A prompt takes effect with the next frame; words that it never heard are remarked upon.
        """
        known = ("steps", "prompt", "strength") if self._engine.listens else ("steps",)
        for name in settings:
            if name not in known:
                raise WorldError(f"Expected settings among {list(known)}, got {name!r}")
        if settings.get("steps", STEPS[0]) not in STEPS:
            raise WorldError(f"Expected steps to be one of {STEPS}, got steps={settings['steps']!r}")
        strength = settings.get("strength", self._strength)
        if isinstance(strength, bool) or not isinstance(strength, int | float) or not 0 <= strength <= STRONGEST:
            raise WorldError(f"Expected a strength from 0 to {STRONGEST:g}, got {strength!r}")
        prompt = self._checked_prompt(settings["prompt"]) if "prompt" in settings else self._prompt
        self.steps = settings.get("steps", self.steps)
        if (prompt, strength) == (self._prompt, self._strength):
            return None
        self._prompt, self._strength = prompt, float(strength)
        if self._state is not None:
            self._state = self._engine.say(self._state, [prompt], strength=self._strength)
        unknown = unknown_words(prompt, self._vocabulary)
        return f"words it never heard: {', '.join(unknown)}"[:400] if unknown else None

    def save(self) -> bytes:
        """The session as safetensors: a few megabytes that restore() continues from exactly."""
        if self._state is None:
            raise WorldError("Cannot call save() before reset()")
        s = self._state
        tensors = {f.name: getattr(s, f.name) for f in fields(s) if f.name != "ring"}
        tensors |= {"ring.keys_values": s.ring.keys_values, "ring.frame": s.ring.frame}
        tensors["counters"] = torch.tensor([self._index, self._lives, int(self._over), self.steps])
        tensors["prompt"] = torch.tensor(list(self._prompt.encode()), dtype=torch.uint8)
        return tensors_to_bytes({name: t.cpu().contiguous() for name, t in tensors.items()})

    def restore(self, state: bytes) -> None:
        """Continue from save(). Raises WorldError for bytes of another world; the session then stays as it was."""
        try:
            tensors = tensors_from_bytes(state)
            ring = Ring(keys_values=tensors.pop("ring.keys_values"), frame=tensors.pop("ring.frame"))
            counters = tensors.pop("counters").tolist()
            prompt = bytes(tensors.pop("prompt").tolist()).decode()
            restored = State(ring=ring, **tensors)
        except (SafetensorError, KeyError, TypeError, ValueError) as error:
            raise WorldError(f"Expected a state that save() made, got {len(state)} other bytes ({error})") from error
        restored = self._moved(restored)
        self._check_fits(restored)
        self._state = restored
        self._index, self._lives, over, self.steps = counters
        self._over = bool(over)
        self._prompt, self._strength = prompt, float(restored.strength[0])

    def close(self) -> None:
        self._state = None

    def _begin(self, start: int, key: int) -> None:
        latents, actions = self._starts.latents[start][None], self._starts.actions[start][None]
        sound = None if self._starts.sound is None else self._starts.sound[start][None]
        key_of_session = torch.tensor([key])
        self._state = self._engine.begin(
            latents, actions, key_of_session, sound=sound, prompts=[self._prompt], strength=self._strength
        )

    def _checked_prompt(self, prompt: Any) -> str:
        """A prompt that the world can do something with. Raises WorldError for any other."""
        if not self._engine.listens:
            raise WorldError(f"Expected no prompt: {self.info.name!r} was learnt without words")
        if not isinstance(prompt, str) or len(prompt) > LONGEST_PROMPT:
            got = f"{len(prompt)} characters" if isinstance(prompt, str) else type(prompt).__name__
            raise WorldError(f"Expected a prompt of at most {LONGEST_PROMPT} characters, got {got}")
        words = words_of(prompt)
        if prompt.strip() and not set(words) & set(self._vocabulary):
            known = ", ".join(self._vocabulary[:24])
            raise WorldError(f"Expected words that the world has heard ({known} ...), got {prompt.strip()[:80]!r}")
        return " ".join(words)

    def _frame(self, outcome: Outcome | None) -> Frame:
        assert self._state is not None
        pixels = self._engine.show(self._state)[0].cpu().numpy()
        sound = self._engine.hear(self._state)[0].cpu().numpy()
        if outcome is None:
            return Frame(pixels=pixels, index=self._index, sound=sound)
        self._over = bool(outcome.terminated[0])
        reward = float(np.nan_to_num(float(outcome.reward[0])))
        return Frame(pixels=pixels, index=self._index, reward=reward, terminated=self._over, sound=sound)

    def _moved(self, state: State) -> State:
        device = self._engine.device
        ring = Ring(keys_values=state.ring.keys_values.to(device), frame=state.ring.frame.to(device))
        return replace(
            state, ring=ring, **{f.name: getattr(state, f.name).to(device) for f in fields(state) if f.name != "ring"}
        )

    def _check_fits(self, state: State) -> None:
        like = self._engine.begin(self._starts.latents[:1], self._starts.actions[:1], torch.tensor([0]))
        for name in ("latents", "action", "key"):
            expected, got = getattr(like, name).shape, getattr(state, name).shape
            if expected != got:
                raise WorldError(
                    f"Expected a state of {self.info.name!r} with {name} {tuple(expected)}, got {tuple(got)}"
                )
        if like.ring.keys_values.shape != state.ring.keys_values.shape:
            raise WorldError(
                f"Expected a state of {self.info.name!r}, got one with another memory "
                f"{tuple(state.ring.keys_values.shape)}"
            )


def _mixed(value: int, salt: int) -> int:
    """A number below 2**62 that depends on both, the same in every process."""
    digest = hashlib.blake2b(f"{value}/{salt}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 2
