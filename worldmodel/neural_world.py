"""One session of a learnt world behind the World contract: what a sidecar serves and a script steps."""

from __future__ import annotations

import hashlib
import os
import secrets
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load as tensors_from_bytes
from safetensors.torch import save as tensors_to_bytes
from torch import Tensor

from inhabit.bridge.controls import Controls
from inhabit.bridge.errors import WorldError
from inhabit.bridge.frames import Frame
from inhabit.worldmodel.engine import Engine, Outcome
from inhabit.worldmodel.omni.autoencoder import to_pixels
from inhabit.worldmodel.omni.text import unknown_words, unread_words, words_of
from inhabit.worldmodel.pack import Pack, Starts, load_pack
from inhabit.worldmodel.pictures import clip, fitted, picture
from inhabit.worldmodel.state import State
from inhabit.worldmodel.together import Rider, Together

STRONGEST = 2.0
"""Prompt strengths up to this are learnt."""

LARGEST = 4096
"""Pixels along one side of a frame, at most."""

LONGEST_PROMPT = 512
"""Characters, as on the wire."""

RESET_OPTIONS = {"start", "prompt", "image", "clip", "fit"}

QUALITIES = {"turbo": 1, "balanced": 2, "fine": 4}
"""Names of the numbers of sampling steps."""

QUALITY_OF = {steps: quality for quality, steps in QUALITIES.items()}

CLIP_FRAMES = 24
"""Frames of a clip that a world goes on from."""

WATCH_FRAMES = 16
"""Frames after which a world looks whether it still dreams what it can say."""

RESIDUAL_FACTOR = 4.0

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

    def __init__(self, pack: Pack, engine: Engine, *, size: tuple[int, int] | None = None, rider: Rider | None = None):
        """A session of a pack.

        Args:
            rider: steps it with other sessions of the same engine; None for one by itself.
            size: width and height of the frames, pixels, where they shall not be those that were learnt; multiples of
                the pack's cell. Recorded starts are cropped to that shape.
        """
        self.info = pack.file.info
        self._resized = size is not None and size != (self.info.width, self.info.height)
        if size is not None:
            cell = pack.file.autoencoder.factor * pack.file.dynamics.patch
            if any(not cell <= side <= LARGEST or side % cell for side in size):
                raise WorldError(
                    f"Expected a size in multiples of {cell} up to {LARGEST}, as {self.info.name!r} has them, "
                    f"got {size[0]}x{size[1]}"
                )
            self.info = msgspec.structs.replace(self.info, width=size[0], height=size[1])
        self.steps = pack.file.steps
        self._pack = pack
        self._engine = engine
        self._rider = rider or Together(engine).rider()
        self._starts: Starts = pack.starts
        self._state: State | None = None
        self._vocabulary = pack.file.vocabulary
        self._identity = f"{self.info.name} ({pack.weights_hash})"
        self._prompt, self._strength = "", 0.0
        self._opening: Tensor | None = None
        self._limit: float | None = None
        self.anchored = 0
        """How often the world set itself right, because what it dreamt left what it can say."""
        self._index = 0
        self._lives = 0
        self._over = False

    @classmethod
    def open(cls, folder: Path, *, device: str = "auto", size: tuple[int, int] | None = None) -> NeuralWorld:
        pack = load_pack(folder)
        return cls(pack, Engine.of(pack, choose_device(device)), size=size)

    def another(self) -> NeuralWorld:
        """A further session of the same model, which is not loaded again and steps all that are due in one batch."""
        size = (self.info.width, self.info.height) if self._resized else None
        return NeuralWorld(self._pack, self._engine, size=size, rider=self._rider.another())

    def step_alone(self, alone: bool) -> None:
        """Whether to be left out of batches, so that frames are the same to the last bit whoever else plays."""
        self._rider.alone = alone

    def tune(self) -> int:
        """Choose how many CPU threads make a step fastest here and now, and return the number.

        On a busy machine fewer threads are faster: with two of them, each layer waits for the one that was held up.
        """
        if self._engine.device.type != "cpu":
            return torch.get_num_threads()
        state = self._engine.begin(self._start(0), self._starts.actions[:1], torch.tensor([0]))
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
        options={"image": pixels or a file's bytes} begins in that picture, {"clip": ...} goes on after those moments,
        and {"fit": "crop"} or {"fit": "pad"} says what becomes of other shapes; see worldmodel.pictures.
        """
        options = options or {}
        unknown = set(options) - RESET_OPTIONS
        if unknown:
            raise WorldError(f"Expected reset options among {sorted(RESET_OPTIONS)}, got {sorted(unknown)}")
        prompt = self._checked_prompt(options["prompt"]) if "prompt" in options else None
        key = secrets.randbits(62) if seed is None else _mixed(int(seed), 0)
        start = options.get("start", _mixed(key, 1) % len(self._starts))
        if not isinstance(start, int) or not 0 <= start < len(self._starts):
            raise WorldError(f"Expected a start from 0 to {len(self._starts) - 1}, got {start!r}")
        opening = self._opening_of(options)
        self._index, self._lives, self._over = 0, 0, False
        self._opening = opening
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
        self._state, outcome = self._rider.step(self._state, action, steps=self.steps)
        self._index += 1
        if self._index % WATCH_FRAMES == 0 and float(self._engine.residual(self._state)[0]) > self._residual_limit():
            self._state = self._engine.anchor(self._state)
            self.anchored += 1
        return self._frame(outcome)

    def configure(self, **settings: Any) -> str | None:
        """Settings: `steps` or `quality`, `anchor`, and where it listens to words `prompt` and `strength` (0 to 2).

        A prompt takes effect with the next frame; words that it never heard are remarked upon. `quality` is "turbo",
        "balanced" or "fine": 1, 2 or 4 steps. `anchor=True` is a soft reset: the world goes on from what is seen, and
        forgets whatever errors have piled up.
        """
        known = ("steps", "quality", "anchor", *(("prompt", "strength") if self._engine.listens else ()))
        for name in settings:
            if name not in known:
                raise WorldError(f"Expected settings among {list(known)}, got {name!r}")
        taught = self.info.steps
        if settings.get("steps", taught[0]) not in taught:
            raise WorldError(f"Expected steps to be one of {taught}, got steps={settings['steps']!r}")
        quality = settings.get("quality", QUALITY_OF[self.steps])
        if quality not in QUALITIES:
            raise WorldError(f"Expected a quality among {', '.join(QUALITIES)}, got {quality!r}")
        if not isinstance(settings.get("anchor", False), bool):
            raise WorldError(f"Expected anchor=True for a soft reset, got {settings['anchor']!r}")
        strength = settings.get("strength", self._strength)
        if isinstance(strength, bool) or not isinstance(strength, int | float) or not 0 <= strength <= STRONGEST:
            raise WorldError(f"Expected a strength from 0 to {STRONGEST:g}, got {strength!r}")
        prompt = self._checked_prompt(settings["prompt"]) if "prompt" in settings else self._prompt
        self.steps = settings.get("steps", min(QUALITIES[quality], max(taught)))
        if settings.get("anchor") and self._state is not None:
            self._state = self._engine.anchor(self._state)
        if (prompt, strength) == (self._prompt, self._strength):
            return None
        self._prompt, self._strength = prompt, float(strength)
        if self._state is not None:
            self._state = self._engine.say(self._state, [prompt], strength=self._strength)
        return self._remark(prompt)

    def _remark(self, prompt: str) -> str | None:
        """What a player should know of how a prompt was read."""
        text = self._engine.dynamics.config.text
        unknown = unknown_words(prompt, self._vocabulary)
        unread = unread_words(prompt, text) if text else []
        remarks = [f"words it never heard: {', '.join(unknown)}"[:300]] if unknown else []
        remarks += [f"too long, not read from {unread[0]!r} on"] if unread else []
        return "; ".join(remarks) or None

    def save(self) -> bytes:
        """The session as safetensors: a few megabytes that restore() continues from exactly."""
        if self._state is None:
            raise WorldError("Cannot call save() before reset()")
        tensors = self._state.tensors()
        tensors["counters"] = torch.tensor([self._index, self._lives, int(self._over), self.steps])
        tensors["opening"] = torch.zeros(0) if self._opening is None else self._opening
        for name, text in (("prompt", self._prompt), ("world", self._identity)):
            tensors[name] = torch.tensor(list(text.encode()), dtype=torch.uint8)
        return tensors_to_bytes({name: t.cpu().contiguous() for name, t in tensors.items()})

    def restore(self, state: bytes) -> None:
        """Continue from save(). Raises WorldError for bytes of another world; the session then stays as it was."""
        try:
            tensors = tensors_from_bytes(state)
            counters = tensors.pop("counters").tolist()
            prompt, world = (bytes(tensors.pop(name).tolist()).decode() for name in ("prompt", "world"))
            opening = tensors.pop("opening")
            restored = State.from_tensors(tensors).to(self._engine.device)
        except (SafetensorError, KeyError, TypeError, ValueError) as error:
            raise WorldError(f"Expected a state that save() made, got {len(state)} other bytes ({error})") from error
        if world != self._identity:
            raise WorldError(f"Expected a state of {self._identity}, got one of {world}")
        self._check_fits(restored)
        self._state = restored
        self._index, self._lives, over, self.steps = counters
        self._over = bool(over)
        self._opening = opening if len(opening) else None
        self._prompt, self._strength = prompt, float(restored.strength[0])

    def close(self) -> None:
        self._state = None

    def _begin(self, start: int, key: int) -> None:
        s, one = self._starts, slice(start, start + 1)
        if self._opening is None:
            latents, actions = self._start(start), s.actions[one]
            held = s.prompts[start] if s.prompts else ""
            heard = {
                "sound": s.sound if s.sound is None else s.sound[one],
                "pose": s.pose if s.pose is None else s.pose[one],
            }
        else:
            latents, heard, held = self._opening, {}, ""
            actions = torch.zeros(*latents.shape[:2], self.info.actions.size)
        self._state = self._engine.begin(
            latents,
            actions,
            torch.tensor([key]),
            prompts=[self._prompt],
            held=[held],
            strength=self._strength,
            **heard,
        )

    def _start(self, start: int) -> Tensor:
        """Latents (1, t, c, h, w) of a recorded start, in this world's shape."""
        latents = self._starts.latents[start : start + 1]
        if not self._resized:
            return latents
        shown = to_pixels(self._engine.autoencoder.decode(latents[0].to(self._engine.device).float())).cpu().numpy()
        frames = [fitted(frame, width=self.info.width, height=self.info.height) for frame in shown]
        return self._engine.look(torch.from_numpy(np.stack(frames)))[None]

    def _opening_of(self, options: dict[str, Any]) -> Tensor | None:
        """Latents (1, t, c, h, w) of a picture or a clip to begin from; None where a recorded start is wanted."""
        given = [name for name in ("image", "clip", "start") if name in options]
        if len(given) > 1:
            raise WorldError(f"Expected one thing to begin from, got {' and '.join(given)}")
        if given in ([], ["start"]):
            if "fit" in options:
                raise WorldError(f"Expected an image or a clip with fit={options['fit']!r}, got none")
            return None
        size = {"width": self.info.width, "height": self.info.height, "fit": options.get("fit", "crop")}
        if "image" in options:
            shown = picture(options["image"], **size)[None]
        else:
            shown = clip(options["clip"], frames=CLIP_FRAMES, rate_hz=self.info.rate_hz, **size)
        return self._engine.look(torch.from_numpy(shown))[None]

    def _residual_limit(self) -> float:
        """What no real frame comes near: a few times the largest residual of the pack's own starts."""
        if self._limit is None:
            latents = self._starts.latents[:, -1].to(self._engine.device).float()
            self._limit = RESIDUAL_FACTOR * float(self._engine.residual_of(latents).max())
        return self._limit

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

    def _check_fits(self, state: State) -> None:
        factor = self._pack.file.autoencoder.factor
        like, there = self._engine.outline(1, self.info.height // factor, self.info.width // factor), state.tensors()
        for name, right in like.tensors().items():
            if there[name].shape != right.shape or there[name].dtype != right.dtype:
                expected, got = tuple(right.shape), tuple(there[name].shape)
                raise WorldError(f"Expected a state of {self.info.name!r} with {name} {expected}, got {got}")


def _mixed(value: int, salt: int) -> int:
    """A number below 2**62 that depends on both, the same in every process."""
    digest = hashlib.blake2b(f"{value}/{salt}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 2
