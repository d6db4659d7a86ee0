"""Recordings of isles: several islands at once, each with a scripted player, changing words, and the truth of it all.

The first text of an episode is complete: a landmark or creature that it does not name is not there. Later texts name
what changed, or say everything anew; each holds from the row that it is written at.

Others are played in stages: as several episodes of one seed that follow each other, the same walk every time, as it
looks after the first words, after the second, and so on. Who learns from them can say the next words at any frame. And
of most islands there are only glimpses: stages of one frame, so that as many words as possible are said.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import takewhile
from typing import Any

import numpy as np
import torch

from inhabit.bridge.errors import WorldError
from inhabit.worldmodel.recordings import SHARD_FRAMES, Meta, Moment, ShardWriter
from inhabit.worldmodel.worlds.isle import motion, truth
from inhabit.worldmodel.worlds.isle.attributes import LANDMARKS, SCENE, Attributes, is_held_out, sample, vary
from inhabit.worldmodel.worlds.isle.captions import asked_for, caption, granted, parse
from inhabit.worldmodel.worlds.isle.players import IslePlayer, sights
from inhabit.worldmodel.worlds.isle.render import Picture, render
from inhabit.worldmodel.worlds.isle.scene import State, create, join, pick, replaced, with_attributes
from inhabit.worldmodel.worlds.isle.sound import sound
from inhabit.worldmodel.worlds.isle.world import LICENCE, IsleConfig, info

EPISODE_FRAMES = (256, 512)
CHANGE_FRAMES = (8, 40)
"""Frames between changes of the words (0.5 to 2.5 s). Between them a picture already says what its words say, and a
world that learns there learns not to listen: obedience is learnt in the few frames after each change."""
CHANGING_SHARE = 0.9
"""Share of the episodes in which the words change."""
ANEW_SHARE = 0.2
"""Share of the changes that ask for another island altogether, with nothing of the old one but its places."""
STAGES = 4
"""Episodes of an island that is played in stages."""
STAGE_FRAMES = (32, 56)
"""Frames of each. Short ones, so that a recording has many islands: a world that had seen 126 of them in stages, 64 to
128 frames long, obeyed on those, and on others its pictures of what was asked for were off by twice as much."""
SEEDS_ALIKE = 8
"""Seeds that follow each other and are played in the same way."""
CYCLE = ("stages", "stages", "walk", *("glimpses",) * 21)
"""How so many seeds are played, and those after them. Of the frames, about two fifths are of walks, as many of stages,
and a fifth of glimpses."""
MEASURED_FROM = 1_000_000
"""Seeds from here on are walks: on them worlds are measured."""
GLIMPSE_AFTER = 40
"""Frames, at most, that are walked before a glimpse."""
ISLANDS = {"cpu": 8, "cuda": 64}
"""Islands that are played at once."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Words:
    """What is said in one episode."""

    attributes: tuple[Attributes, ...]
    texts: tuple[str, ...]
    frames: tuple[int, ...]
    """The frame from which each holds; the first is 0. In stages each holds for a whole episode, from 0."""
    length: int
    """Frames of the episode."""
    avatars: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Beat:
    """One frame of a troupe's islands."""

    state: State
    """Of the islands that still play."""
    rows: Sequence[int]
    """Which of the troupe they are."""
    actions: np.ndarray
    """(b, 6) that led to the frame."""
    texts: Sequence[str | None]
    """Words that begin to hold with this frame."""
    picture: Picture | None
    """None where nobody looks."""
    sound: torch.Tensor
    """(b, 1000, 2) int16."""


def script(seed: int, prompt: str = "") -> Words:
    """Choose an episode's attributes and what is said, from its seed. Nothing in it is held out.

    Args:
        prompt: what every episode shall begin with; the rest of it stays random.
    """
    rng = np.random.default_rng([seed, 11])
    now = _first(rng, prompt)
    length = int(rng.integers(EPISODE_FRAMES[0], EPISODE_FRAMES[1] + 1))
    attributes, texts, frames = [now], [complete(now, rng)], [0]
    changes = rng.random() < CHANGING_SHARE
    at = int(rng.integers(*CHANGE_FRAMES))
    while changes and at < length - 16:
        now, said = _changed(now, rng)
        attributes.append(now)
        texts.append(said)
        frames.append(at)
        at += int(rng.integers(*CHANGE_FRAMES))
    return Words(
        attributes=tuple(attributes),
        texts=tuple(texts),
        frames=tuple(frames),
        length=length,
        avatars=int(rng.choice([0, 1, 1, 2])),
    )


def stages(seed: int, prompt: str = "") -> Words:
    """Likewise for an island that is played in stages."""
    rng = np.random.default_rng([seed, 12])
    now = _first(rng, prompt)
    length = int(rng.integers(STAGE_FRAMES[0], STAGE_FRAMES[1] + 1))
    attributes, texts = [now], [complete(now, rng)]
    while len(texts) < STAGES:
        now, said = _changed(now, rng)
        attributes.append(now)
        texts.append(said)
    return Words(
        attributes=tuple(attributes),
        texts=tuple(texts),
        frames=(0,) * STAGES,
        length=length,
        avatars=int(rng.choice([0, 1, 1, 2])),
    )


def brought(seed: int) -> Words:
    """Likewise, but each time one or two kinds of things are asked for, or sent away, in the few words of people who
    want just that."""
    rng = np.random.default_rng([seed, 14])
    now = _first(rng, "")
    attributes, texts = [now], [complete(now, rng)]
    while len(texts) < STAGES:
        wanted: dict[str, str | int] = {}
        for kind in rng.choice(LANDMARKS, int(rng.choice([1, 1, 2])), replace=False):
            wanted[f"{kind}_count"] = int(rng.choice([0, 1, 1, 2, 2, 3]))
            if wanted[f"{kind}_count"] and rng.random() < 0.7:
                wanted[f"{kind}_colour"] = getattr(sample(rng), f"{kind}_colour")
        after = now.changed(wanted)
        if is_held_out(after) or after == now:
            continue
        now = after
        attributes.append(now)
        texts.append(asked_for(caption(now, rng, only=wanted), rng))
    return Words(attributes=tuple(attributes), texts=tuple(texts), frames=(0,) * STAGES, length=1, avatars=0)


def played_as(seed: int) -> str:
    """How an island is played: "walk", "stages" or "glimpses"."""
    return CYCLE[seed // SEEDS_ALIKE % len(CYCLE)] if seed < MEASURED_FROM else "walk"


def _first(rng: np.random.Generator, prompt: str) -> Attributes:
    wish = parse(prompt)
    now = sample(rng)
    for _ in range(1000 if prompt else 0):
        now = granted(sample(rng), wish)
        if not is_held_out(now):
            break
    if is_held_out(now):
        raise WorldError(
            f"Expected a prompt that recordings may show, got the held-out {prompt!r}; change one attribute"
        )
    return now


def _changed(before: Attributes, rng: np.random.Generator) -> tuple[Attributes, str]:
    """What is asked for next, and in which words: those that name what changes, or complete ones."""
    if rng.random() < ANEW_SHARE:
        now = sample(rng)
        gone = [f"{kind}_count" for kind in LANDMARKS if before.count(kind) and not now.count(kind)]
        return now, complete(now, rng, absent=gone)
    now, names = vary(before, rng)
    return now, caption(now, rng, only=names) if rng.random() < 0.65 else complete(now, rng, absent=names)


def complete(attributes: Attributes, rng: np.random.Generator, absent: Sequence[str] = ()) -> str:
    """A caption that names the scene and everything that is there, and of what is absent only `absent`."""
    names = [*SCENE, *absent]
    for kind in LANDMARKS:
        names += [f"{kind}_count", f"{kind}_colour"] if attributes.count(kind) else []
    return caption(attributes, rng, only=names + (["creatures"] if attributes.creatures else []))


@torch.inference_mode()
def play(
    seeds: Sequence[int],
    *,
    width: int = 128,
    height: int = 128,
    prompt: str = "",
    device: str = "cpu",
    drawn: bool = True,
) -> Iterator[Beat]:
    """Play one episode for each seed, all at once; islands leave as their episodes end.

    Args:
        drawn: whether there are pictures; who only listens saves nearly all the time.
    """
    words = [script(seed, prompt) for seed in seeds]
    players = [IslePlayer(seed) for seed in seeds]
    states = [
        create([seed], [one.attributes[0]], avatars=one.avatars, device=device) for seed, one in zip(seeds, words)
    ]
    state, rows, frame = join(states), list(range(len(seeds))), 0
    actions = np.zeros((len(seeds), len(motion.ACTIONS)), np.float32)
    while rows:
        begun = [words[row].frames.index(frame) if frame in words[row].frames else None for row in rows]
        yield Beat(
            state=state,
            rows=tuple(rows),
            actions=actions,
            texts=[None if n is None else words[row].texts[n] for row, n in zip(rows, begun)],
            picture=render(state, width, height) if drawn else None,
            sound=sound(state),
        )
        frame += 1
        stay = [place for place, row in enumerate(rows) if frame < words[row].length]
        if len(stay) < len(rows):
            state, rows = pick(state, stay), [rows[place] for place in stay]
        if rows:
            actions = np.stack([players[row].action(seen) for row, seen in zip(rows, sights(state))])
            # words that begin with a frame are heard by the step that leads to it
            state = with_attributes(state, [_attributes_at(words[row], frame) for row in rows])
            state = motion.step(state, torch.from_numpy(actions))


@torch.inference_mode()
def play_stages(
    seeds: Sequence[int],
    *,
    width: int = 128,
    height: int = 128,
    prompt: str = "",
    device: str = "cpu",
    glimpse: int | None = None,
) -> Iterator[Beat]:
    """Play STAGES episodes for each seed, all at once: row STAGES * i + k is stage k of the i-th seed.

    One walk leads through all stages of an island. It is made where everything stands that stands in any of them, so
    that nobody walks through a house.

    Args:
        glimpse: show only the frame after so many, once.
    """
    words = [stages(seed, prompt) for seed in seeds]
    players = [IslePlayer(seed) for seed in seeds]
    everything = [_everything(one.attributes) for one in words]
    lead = join([_made(seed, one, most, device) for seed, one, most in zip(seeds, words, everything)])
    state = standing(seeds, words, device)
    islands, frame = list(range(len(seeds))), 0
    actions = np.zeros((len(seeds), len(motion.ACTIONS)), np.float32)
    for _ in range(glimpse or 0):
        actions = np.stack([players[island].action(seen) for island, seen in zip(islands, sights(lead))])
        lead = motion.step(lead, torch.from_numpy(actions))
    while islands:
        rows = [STAGES * island + stage for island in islands for stage in range(STAGES)]
        state = _led(state, lead)
        yield Beat(
            state=state,
            rows=tuple(rows),
            actions=actions.repeat(STAGES, 0),
            texts=[None if frame else words[row // STAGES].texts[row % STAGES] for row in rows],
            picture=render(state, width, height),
            sound=sound(state),
        )
        if glimpse is not None:
            return
        frame += 1
        stay = [place for place, island in enumerate(islands) if frame < words[island].length]
        if len(stay) < len(islands):
            lead, islands = pick(lead, stay), [islands[place] for place in stay]
            state = pick(state, [STAGES * place + stage for place in stay for stage in range(STAGES)])
        if islands:
            actions = np.stack([players[island].action(seen) for island, seen in zip(islands, sights(lead))])
            lead = motion.step(lead, torch.from_numpy(actions))
            state = motion.step(state, torch.from_numpy(actions.repeat(STAGES, 0)))


def standing(seeds: Sequence[int], words: Sequence[Words], device: str = "cpu") -> State:
    """Islands at their first frame, each after each of its words, one after the other."""
    each = [(seed, one, attributes) for seed, one in zip(seeds, words) for attributes in one.attributes]
    return join([_made(seed, one, attributes, device) for seed, one, attributes in each])


def _made(seed: int, words: Words, attributes: Attributes, device: str) -> State:
    return create([seed], [attributes], avatars=words.avatars, device=device)


def _everything(attributes: Sequence[Attributes]) -> Attributes:
    """An island on which all stands that stands in any of these."""
    most = {f"{kind}_count": max(one.count(kind) for one in attributes) for kind in LANDMARKS}
    return replace(attributes[0], **most)  # type: ignore[arg-type]


_LED = (
    "place", "yaw", "gait", "aim", "player", "velocity", "look", "spin", "stride", "pressed",
    "ball_velocity", "ball_held", "ball_age",
)  # fmt: skip
"""What moves."""


def _led(state: State, lead: State) -> State:
    """The stages with everything that moves where it is on the leading island."""
    return replaced(state, **{name: getattr(lead, name).repeat_interleave(STAGES, 0) for name in _LED})


def _attributes_at(words: Words, frame: int) -> Attributes:
    return words.attributes[sum(begin <= frame for begin in words.frames) - 1]


def describe(config: Any) -> Meta:
    """The meta.json of a recording. `config` is a RecordConfig."""
    world = info(IsleConfig(width=config.width, height=config.height, sound=config.sound))
    _, _, prompt = config.source.partition(":")
    if prompt:
        script(0, prompt)  # raises for what cannot be recorded
    return Meta(world=world, source=config.source, licence=LICENCE, variables=truth.VARIABLES)


def record_seeds(config: Any, meta: Meta, name: str, seeds: range, played: Any, stop: Any) -> None:
    """Play episodes for these seeds and write them, until `played` reaches the config's frames or `stop` is set.

    Args:
        name: of the shards, "shard-..." without its ending.
        played, stop: the counter and the event that all players of one recording share.
    """
    torch.set_num_threads(1)  # every process has its core
    device = "cuda" if torch.cuda.is_available() else "cpu"
    writer, shard, next_seed = ShardWriter(meta), 0, 0
    while next_seed < len(seeds) and played.value < config.frames and not stop.is_set():
        mean = sum(EPISODE_FRAMES) / 2 * config.workers
        count = int(np.clip(round((config.frames - played.value) / mean), 1, ISLANDS[device]))
        batch = _alike(seeds[next_seed : next_seed + count])
        next_seed += len(batch)
        for episode in _episodes(config, batch, device, played, stop):
            for moment in episode:
                writer.add(moment)
            if len(writer) >= SHARD_FRAMES:
                writer.write(config.folder / f"{name}-{shard:04d}.h5")
                shard += 1
    writer.write(config.folder / f"{name}-{shard:04d}.h5")


def _alike(seeds: Sequence[int]) -> list[int]:
    """The first of these seeds, as many as are played in the same way and at once."""
    alike = list(takewhile(lambda seed: played_as(seed) == played_as(seeds[0]), seeds))
    return alike[: max(1, len(alike) // STAGES)] if played_as(seeds[0]) == "stages" else alike


def _episodes(config: Any, seeds: list[int], device: str, played: Any, stop: Any) -> list[list[Moment]]:
    """Play a troupe and sort its frames by episode; an interrupted one is kept as far as it came."""
    kind = played_as(seeds[0])
    stages, player = (1, play) if kind == "walk" else (STAGES, play_stages)
    if kind == "glimpses":
        player = partial(player, glimpse=int(np.random.default_rng([seeds[0], 13]).integers(GLIMPSE_AFTER + 1)))
    episodes: list[list[Moment]] = [[] for _ in range(len(seeds) * stages)]
    _, _, prompt = config.source.partition(":")
    for beat in player(seeds, width=config.width, height=config.height, prompt=prompt, device=device):
        for row, moment in zip(beat.rows, moments(beat, config.sound), strict=True):
            episodes[row].append(replace(moment, first=not episodes[row], seed=seeds[row // stages]))
        with played.get_lock():
            played.value += len(beat.rows)
        if played.value >= config.frames or stop.is_set():
            break
    for episode in episodes:
        if episode:
            episode[-1] = replace(episode[-1], truncated=True)  # for no reason that the picture shows
    return [episode for episode in episodes if episode]


def moments(beat: Beat, with_sound: bool = True) -> list[Moment]:
    """The rows that a recording holds of one beat."""
    assert beat.picture is not None
    pixels, sounds = beat.picture.pixels.cpu().numpy(), beat.sound.cpu().numpy()
    boxes, poses = truth.boxes(beat.state, beat.picture.labels), truth.poses(beat.state)
    happened = truth.events(beat.state)
    return [
        Moment(
            pixels=pixels[i],
            action=beat.actions[i],
            sound=sounds[i] if with_sound else None,
            objects=boxes[i],
            variables=poses[i].tolist(),
            text=beat.texts[i],
            events=happened[i],
        )
        for i in range(len(beat.rows))
    ]
