"""Shortcut forcing: what the network is shown, frames at mixed noise levels, and what it shall answer, clean ones.

Each frame of a window has a noise level of its own (diffusion forcing). Some rows teach big steps: their target is
where two half steps of the present network lead (Dreamer 4, arXiv 2509.24527, sec. 3.3). In some steps the past is one
that the network dreamt, and some rows aim beyond their prompt. Sound shares its frame's level throughout.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from inhabit.worldmodel.omni.block import CONTEXT_LEVEL, K_MAX, Block, earlier_frames
from inhabit.worldmodel.omni.dynamics import Dynamics
from inhabit.worldmodel.omni.edit import Edit
from inhabit.worldmodel.omni.text import Tokens
from inhabit.worldmodel.omni.transformer import Words
from inhabit.worldmodel.train.latents import Latents, goes_on
from inhabit.worldmodel.train.rehearsal import Past, Rehearsal
from inhabit.worldmodel.train.scars import scarred
from inhabit.worldmodel.train.schedule import precision
from inhabit.worldmodel.train.shortcut import Clean, bootstrap_target, tau_of, wide

FINEST = K_MAX.bit_length() - 1
"""log2 of the steps of the finest schedule."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ForcingConfig:
    """What is shown how often."""

    context_share: float = 0.4
    """Share of the frames that are nearly clean, the state in which frames serve as context."""

    blank_share: float = 0.3
    """Share of the others that are nothing but noise: what the next frame is must be decided there, and a frame that
    shows half of it already teaches little about that."""

    direct_share: float = 0.0
    """Share of the frames that are nothing but noise which teach the first of 1, 2 or 4 big steps what really came.
    Those otherwise hear of it through all the smaller steps below them, which takes long."""

    previous_noise: float = 0.1
    """Largest share of noise in the previous frame that is handed on directly."""

    previous_drop: float = 0.03
    """Share of frames that get no previous frame, as the first of a session has none."""

    recalled_drop: float = 0.15
    """Share of the frames to which the album shows nothing."""

    bootstrap_from: float = 0.1
    """Share of the budget before big steps are taught; 0 for a settled network."""

    bootstrap_rows: tuple[float, float] = (0.25, 0.4)
    """Share of the rows that teach big steps: at first, and in the last third."""

    bootstrap_steps: tuple[float, ...] = (0.25, 0.5, 0.25)
    """How often each of the schedules of 1, 2, 4 steps is taught; 2 is what people play with."""

    begin_drop: float = 0.25
    """Share of the windows whose first frame gets no picture at all, only noise and words, where there are words."""

    spoken_frames: int = 4
    """Frames after new words in which they take effect. They are few, and all that teaches a world to listen."""

    spoken_blank: float = 0.7
    """Share of those frames that are nothing but noise: what shows through it needs no words to be seen."""

    told_share: float = 0.1
    """Share of the frames at which the next words are said, in recordings that show what comes of them."""

    most_lag: int = 4
    """Frames for which a past may not yet show what was said."""

    cut_share: float = 0.0
    """Share of the steps that show only the middle of the frames, wider or taller than they are."""

    scarred_share: float = 0.15
    """Share of the windows whose past has a scar: a piece of another place of another frame, where it does not belong.
    What a dream has lost for good, such as the gun in one's hand, no past shows how to paint again."""

    silent_share: float = 0.1
    """Share of the rows whose prompt is withheld, so that a world also goes on without one."""

    guided_rows: float = 0.25
    """Share of the rows that teach what it is to follow a prompt more strongly, of those whose frames have one."""

    guided_from: float = 0.3
    """Share of the budget before that begins; 0 for a settled network."""

    strongest: float = 2.0
    """Prompt strengths from 0 to this are taught."""

    def settled(self) -> ForcingConfig:
        """The same for a network that knows the beginnings already."""
        return replace(self, bootstrap_from=0.0, guided_from=0.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Lesson:
    """One step's worth of training."""

    rows: Tensor
    """(b, t) of the recording."""

    block: Block
    """What the network is shown."""

    target: Clean
    """What it shall answer."""

    real: Clean
    """What really was."""

    age: Tensor
    """(b, t) frames since the last real one in the past that is shown."""

    spoken: Tensor
    """(b, t) bool: whether new words take effect in a frame."""

    there: Tensor
    """(b, t) bool: which frames there are to learn from."""

    data: Latents
    """The recording, as much of its frames as is shown."""


class Forcing:
    """Draws lessons from a recording."""

    def __init__(
        self,
        network: Dynamics,
        data: Latents,
        starts: Tensor,
        config: ForcingConfig,
        *,
        edit: Edit | None = None,
        rehearsal: Rehearsal | None = None,
        batch: int,
        window: int,
        seed: int = 0,
    ):
        self.network, self.data, self.config = network, data, config
        self._whole, self._edit = data, edit
        self._starts, self._batch, self._window = starts, batch, window
        self.rehearsal = rehearsal
        self._one_step = max(network.config.steps) == 1
        self._device = starts.device
        self._random = torch.Generator(self._device).manual_seed(seed)

    def draw(self, share: float) -> Lesson:
        """The next lesson; `share` of the budget is behind us."""
        self.data = self._cut()
        past = scarred(self._past(), self.data, self.config.scarred_share, self._random)
        rows = past.rows
        block, real = self.noise(past)
        target, big = real, torch.zeros_like(block.level, dtype=torch.bool)
        block = self.say(block, rows)
        count = self._bootstrap_rows(share)
        if count:
            block, big = self.make_big(block, real, past, count)
            target = bootstrap_target(self.network, block, real, big, count)
        if block.words and share >= self.config.guided_from:
            block, target = self.guide(block, target, big)
        return Lesson(
            rows=rows,
            block=block,
            target=target,
            real=real,
            age=past.age,
            spoken=self.spoken(past),
            there=past.there,
            data=self.data,
        )

    def _cut(self) -> Latents:
        """The recording, now and then as a smaller window shows it: half to all of the rows and columns."""
        if not self._chance(self.config.cut_share):
            return self._whole
        patch = self.network.config.patch
        tokens = [side // patch for side in self._whole.z.shape[-2:]]
        rows, columns = (
            int(torch.randint((n + 1) // 2, n + 1, (), generator=self._random, device=self._device)) for n in tokens
        )
        return self._whole.cut(rows * patch, columns * patch)

    def draw_rows(self) -> Tensor:
        """Rows of windows. Shape (b, t)."""
        chosen = torch.randint(len(self._starts), (self._batch,), generator=self._random, device=self._device)
        return self._whole.windows(self._starts[chosen], self._window)

    def _past(self) -> Past:
        """What this step learns from: a dream now and then, of whole frames, where there are any."""
        whole, rehearsal = self.data is self._whole, self.rehearsal
        if whole and rehearsal and rehearsal.ready and self._chance(rehearsal.config.share):
            return rehearsal.draw(self._batch, self._window, self._random)
        return self.real_past(self.draw_rows())

    def real_past(self, rows: Tensor) -> Past:
        """The past as it was, but for words that are said now and then. In some windows the past does not obey at once:
        it is somewhere between the old and the new, as what a world paints is."""
        data, walk, there = self.data, rows, goes_on(rows)
        head = rows[:, :1]
        before = (head - 1).clamp(min=0)
        inside = ~data.first[head]
        often = 2 * self.config.told_share * self._uniform(head.shape)  # in some windows one word chases the other
        now = (self._uniform(walk.shape) < often) & ~data.first[walk] & there
        rows, told = data.speak(walk, now)
        most_lag = 0 if self._edit else self.config.most_lag
        lag = (self._uniform(head.shape) * (most_lag + 1)).long()
        place = torch.arange(walk.shape[1], device=self._device) - lag
        late, _ = data.speak(walk, now.gather(1, place.clamp(min=0)) & (place >= 0))
        obeyed = torch.where(late == rows, 1.0, self._uniform(walk.shape))
        told = told | F.pad((late != rows)[:, :-1], (1, 0))

        def past(values: Tensor, seen: Tensor, wanted: Tensor, share: Tensor) -> Tensor:
            return torch.lerp(values[seen].float(), values[wanted].float(), wide(share, values[seen]))

        video = torch.cat([data.z[before].float() * inside[..., None, None, None], past(data.z, late, rows, obeyed)], 1)
        sound = None
        if data.sound is not None:
            sound = torch.cat([data.sound[before].float() * inside[..., None], data.sound[rows].float()], 1)
        carried = None
        if data.carried is not None:  # each moment as it would have been without new words
            last = len(data.z) - 1  # an ending has none after it
            seen, wanted = (torch.cat([head, (one[:, :-1] + 1).clamp(max=last)], 1) for one in (late, rows))
            carried = past(data.carried, seen, wanted, F.pad(obeyed[:, :-1], (1, 0), value=1.0))
        if self._edit is not None:
            self._carry_out(told | self._changed(rows), rows, video, carried)
        return Past(
            rows=rows,
            video=video,
            carried=carried,
            # old pictures look as they did, where no edit changes them
            recalled=None if data.recalled is None else data.recalled[rows if self._edit else walk].float(),
            sound=sound,
            age=torch.zeros_like(rows),
            told=told,
            there=there,
        )

    def _changed(self, rows: Tensor) -> Tensor:
        """Which frames other words hold for than for the one before, (b, t) bool."""
        assert self.data.prompt is not None
        return (self.data.prompt[rows] != self.data.prompt[(rows - 1).clamp(min=0)]) & ~self.data.first[rows]

    @torch.no_grad()
    def _carry_out(self, now: Tensor, rows: Tensor, video: Tensor, carried: Tensor | None) -> None:
        """Change what is before some frames, (b, t) bool, as their words want it: in place, as an engine does it."""
        prompts, prompt, edit = self.data.prompts, self.data.prompt, self._edit
        assert edit is not None
        assert prompts is not None
        assert prompt is not None
        row, frame = now.nonzero(as_tuple=True)
        if not len(row):
            return
        said = prompt[rows[row, frame]]
        tokens = Tokens(triples=prompts.triples[said], filled=prompts.filled[said])
        with precision(self._device):
            for pictures in (video,) if carried is None else (video, carried):
                pictures[row, frame] = edit(pictures[row, frame], tokens)

    def noise(self, past: Past) -> tuple[Block, Clean]:
        """A block in which every frame has a level of its own, all in the finest schedule, and the right answers."""
        data, rows = self.data, past.rows
        real = Clean(video=data.z[rows].float(), sound=None if data.sound is None else data.sound[rows].float())
        level = self._levels(past)
        kept = self._kept(rows)
        previous, earlier, carried = self.previous(past, kept)
        noised, sound = self._noised(level, real, past)
        return Block(
            noised=noised,
            previous=previous,
            earlier=earlier,
            carried=carried,
            recalled=self.recalled(past, kept),
            actions=data.actions[rows],
            level=level,
            step=self._steps(level),
            sound=sound,
            **self._dice(rows),
        ), real

    def _dice(self, rows: Tensor) -> dict[str, Tensor]:
        """What the dice of frames show, and rolls, by name; nothing in a world without."""
        if self.data.faces is None:
            return {}
        shown = self.data.faces[rows].flatten(2).long()
        return {"shown": shown, "dice": 1 - self._uniform(shown.shape)}

    def _noised(self, level: Tensor, real: Clean, past: Past) -> tuple[Tensor, Tensor | None]:
        """Frames at their levels, and sound, (b, t, 2, latent), with that of the frame before: those that serve as
        context as the past has them, and those that are made as they shall be."""
        context = level >= CONTEXT_LEVEL - 2
        video = self._blend(torch.where(wide(context, real.video), past.video[:, 1:], real.video), level)
        if real.sound is None or past.sound is None:
            return video, None
        sound = self._blend(torch.where(context[..., None], past.sound[:, 1:], real.sound), level)
        return video, torch.stack([sound, past.sound[:, :-1]], 2)

    def _kept(self, rows: Tensor) -> Tensor:
        """Which frames are shown what was before them, (b, t) bool: nearly all; of a window's first ones fewer where
        there are words, so that they are also learnt as all that is known."""
        drop = torch.full(rows.shape, self.config.previous_drop, device=self._device)
        if self.data.prompt is not None:
            drop[:, 0] = self.config.begin_drop
        return self._uniform(rows.shape) >= drop

    def spoken(self, past: Past) -> Tensor:
        """Whether new words take effect in a frame, (b, t) bool: at once, as the recording shows it, or as a dream does
        it, frame by frame."""
        rows = past.rows
        if self.data.prompt is None or self._edit is not None:  # the edit has carried them out
            return torch.zeros_like(rows, dtype=torch.bool)
        earlier = (rows[..., None] - torch.arange(self.config.spoken_frames + 1, device=self._device)).clamp(min=0)
        words, begun = self.data.prompt[earlier], self.data.first[earlier]
        changed = (words[..., :-1] != words[..., 1:]) & (begun[..., :-1].cumsum(-1) == 0)
        since = F.max_pool1d(F.pad(past.told.float(), (self.config.spoken_frames - 1, 0)), self.config.spoken_frames, 1)
        return changed.any(-1) | past.told | ((since > 0) & (past.age > 0))

    def previous(self, past: Past, kept: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """The frame before each, those before it, and it as motion carries it there, slightly noised; nothing where an
        episode begins, and where it is not kept."""
        rows, before = past.rows, past.video[:, :-1]
        share = self.config.previous_noise * self._uniform(rows.shape)[..., None, None, None]
        kept = kept[..., None, None, None]
        earlier = earlier_frames(before, self.network.config.earlier)
        if earlier is not None:
            earlier = (earlier * (1 - share) + self._normal(earlier.shape) * share) * kept
        carried = None
        if past.carried is not None:
            there = kept & ~self.data.first[rows][..., None, None, None]
            carried = (past.carried * (1 - share) + self._normal(past.carried.shape) * share) * there
        return (before * (1 - share) + self._normal(before.shape) * share) * kept, earlier, carried

    def recalled(self, past: Past, kept: Tensor) -> Tensor | None:
        """What the album shows, slightly noised; now and then nothing, and where nothing is kept. Shape
        (b, t, c + 1, h, w)."""
        if past.recalled is None:
            return None
        shown, size = past.recalled, past.rows.shape
        known = shown[:, :, -1:]
        share = self.config.previous_noise * self._uniform(size)[..., None, None, None]
        kept = (kept & (self._uniform(size) >= self.config.recalled_drop))[..., None, None, None]
        latents = shown[:, :, :-1] * (1 - share) + self._normal(shown[:, :, :-1].shape) * share * (known > 0)
        return torch.cat([latents, known], 2) * kept

    def say(self, block: Block, rows: Tensor) -> Block:
        """Tell the network which prompt holds at each frame; now and then none."""
        if self.data.prompts is None or self.data.prompt is None:
            return block
        nothing = len(self.data.prompts.triples) - 1
        silent = self._uniform(rows.shape[:1])[:, None] < self.config.silent_share
        used, of_frame = torch.where(silent, nothing, self.data.prompt[rows]).unique(return_inverse=True)
        used = torch.cat([used, used.new_tensor([nothing])])  # the last one is "nothing", for guide()
        tokens = Tokens(triples=self.data.prompts.triples[used], filled=self.data.prompts.filled[used])
        keys_values, gist = self.network.read(tokens)
        words = Words(keys_values=keys_values, gist=gist, filled=tokens.filled, of_frame=of_frame)
        return replace(block, words=words, strength=torch.zeros(rows.shape, device=self._device))

    @torch.no_grad()
    def guide(self, block: Block, target: Clean, big: Tensor) -> tuple[Block, Clean]:
        """Let some rows aim beyond their target, away from where they would go without the prompt.

        The strength is an input, so that it can be chosen while the world runs and costs no second pass.
        Source: model guidance (arXiv 2502.12154), with the scale as a condition as in iMF (arXiv 2512.02012).
        """
        assert block.words is not None
        row = self._uniform(block.level.shape[:1])[:, None] < self.config.guided_rows
        chosen = row & ~big & (block.level < CONTEXT_LEVEL)
        if not bool(chosen.any()):
            return block, target
        strength = torch.where(row, self.config.strongest * self._uniform(block.level.shape[:1])[:, None], 0.0)
        some = row[:, 0].nonzero()[:, 0]  # only these rows are asked what they would be without the prompt
        part = block.select(some)
        assert part.words is not None
        nothing = torch.full_like(part.words.of_frame, len(part.words.filled) - 1)
        told = self.network(part).painting.painted
        untold = self.network(replace(part, words=replace(part.words, of_frame=nothing))).painting.painted
        beyond = target.video[some] + wide(strength[some], told) * (told - untold)
        video = target.video.clone()
        video[some] = torch.where(wide(chosen[some], told), beyond, video[some])
        strength = torch.where(big, 0.0, strength).expand(block.level.shape)
        return replace(block, strength=strength), replace(target, video=video)

    def make_big(self, block: Block, real: Clean, past: Past, count: int) -> tuple[Block, Tensor]:
        """Give half of the frames of the first `count` rows a big step, and the others the state of context."""
        shape = block.level.shape
        in_rows = torch.arange(shape[0], device=self._device)[:, None] < count
        big = in_rows & (self._uniform(shape) < 0.5)
        step = self._big_steps(shape)
        grid = (self._uniform(shape) * 2**step).long() * (K_MAX >> step)
        level = torch.where(in_rows, CONTEXT_LEVEL, block.level)
        level = torch.where(big, grid, level)
        step = torch.where(big, step, block.step)
        noised, sound = self._noised(level, real, past)
        return replace(block, noised=noised, level=level, step=step, sound=sound), big

    def _levels(self, past: Past) -> Tensor:
        """Some nearly clean, as context; of the others some nothing but noise, and the rest anywhere. Where words take
        effect most are nothing but noise."""
        shape = past.rows.shape
        anywhere = torch.randint(K_MAX, shape, generator=self._random, device=self._device)
        blank = 1.0 if self._one_step else self.config.blank_share
        anywhere = torch.where(self._uniform(shape) < blank, 0, anywhere)
        dip = self._uniform(shape)
        context = CONTEXT_LEVEL - (dip > 0.7).long() - (dip > 0.9).long()
        level = torch.where(self._uniform(shape) < self.config.context_share, context, anywhere)
        return torch.where(self.spoken(past) & (self._uniform(shape) < self.config.spoken_blank), 0, level)

    def _steps(self, level: Tensor) -> Tensor:
        """log2 of the steps of the schedule that each frame belongs to: the finest, but for first steps."""
        if self._one_step:
            return torch.where(level == 0, 0, FINEST)
        direct = (level == 0) & (self._uniform(level.shape) < self.config.direct_share)
        return torch.where(direct, self._big_steps(level.shape), FINEST)

    def _big_steps(self, shape: torch.Size) -> Tensor:
        """log2 of 1, 2 or 4 steps, as often as they are taught."""
        edges = torch.tensor(self.config.bootstrap_steps, device=self._device).cumsum(0)[:-1]
        return torch.bucketize(self._uniform(shape), edges)

    def _bootstrap_rows(self, share: float) -> int:
        if self._one_step or share < self.config.bootstrap_from:
            return 0
        wanted = self._batch * self.config.bootstrap_rows[share > 2 / 3]
        return int(wanted) + self._chance(wanted % 1)  # a small batch takes turns, so that the share holds on average

    def _blend(self, clean: Tensor, level: Tensor) -> Tensor:
        tau = tau_of(level, clean)
        return tau * clean + (1 - tau) * self._normal(clean.shape)

    def _chance(self, share: float) -> bool:
        return float(self._uniform(torch.Size([]))) < share

    def _normal(self, shape: torch.Size) -> Tensor:
        return torch.randn(shape, generator=self._random, device=self._device)

    def _uniform(self, shape: torch.Size) -> Tensor:
        return torch.rand(shape, generator=self._random, device=self._device)
