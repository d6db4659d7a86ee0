"""Train the recall network, and look up for every frame of a recording what the album would show of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from inhabit.worldmodel.memory.album import EVERY_FRAMES, OLD_FRAMES, PLACES, look_up, place_for
from inhabit.worldmodel.memory.pose import POSE
from inhabit.worldmodel.memory.recall import Recall, fetch, turned
from inhabit.worldmodel.omni.autoencoder import Autoencoder, to_float, to_pixels
from inhabit.worldmodel.train.footage import Footage
from inhabit.worldmodel.train.loop import fit
from inhabit.worldmodel.train.motion import MotionTraining, picture_loss, roughness, travels_of
from inhabit.worldmodel.train.schedule import Average, Budget, precision

AGES_FRAMES = (OLD_FRAMES, OLD_FRAMES, 48, 96, 192)
STRETCH_FRAMES = 32
ZOOM_GAIN = 10.0
"""How much faster the one number that all pictures agree on is learnt than the rest."""


def usual_length(footage: Footage) -> float:
    """What one walks in about a second where one walks at all, in the recording's own unit; 1 where nobody walks."""
    travels = travels_of(footage)
    assert travels is not None
    steps = travels[torch.from_numpy(~footage.first), :3].norm(dim=1)
    walked = steps[steps > 1e-3]
    return float(walked.mean()) * footage.meta.world.rate_hz if len(walked) else 1.0


def pictures_for(footage: Footage, unit: float, *, seed: int = 0) -> np.ndarray:
    """The row of the picture that an album would show at each row, -1 where there is none. Shape (n,) int64.

    All episodes are walked through at once, each with an album of its own, as a session has one. Who walks on is shown
    what he saw a second ago; so that older pictures are learnt from too, for stretches of each episode only those are
    looked up that are older than one of AGES_FRAMES.
    """
    assert footage.pose is not None
    begins = np.flatnonzero(footage.first)
    lengths = np.diff([*begins, len(footage)])
    count = len(begins)
    poses, frames = torch.zeros(count, PLACES, POSE), torch.full((count, PLACES), -1, dtype=torch.int64)
    chosen = np.full(len(footage), -1, np.int64)
    pose, random = torch.from_numpy(footage.pose), np.random.default_rng(seed)
    old = np.full(count, OLD_FRAMES)
    for frame in range(int(lengths.max())):
        going = np.flatnonzero(lengths > frame)
        rows = begins[going] + frame
        seats, now = torch.from_numpy(going), pose[torch.from_numpy(rows)]
        number = torch.full((len(going),), frame)
        if frame % STRETCH_FRAMES == 0:
            old = random.choice(AGES_FRAMES, count)
        ages = torch.from_numpy(old[going])[:, None]
        place, helps = look_up(poses[seats], frames[seats], now, number, unit, old_frames=ages)
        shown = frames[seats, place].numpy()
        chosen[rows] = np.where(helps.numpy(), begins[going] + shown, -1)
        if frame % EVERY_FRAMES == 0:
            place, wanted = place_for(poses[seats], frames[seats], now, number, unit)
            poses[seats[wanted], place[wanted]], frames[seats[wanted], place[wanted]] = now[wanted], frame
    return chosen


def train_recall(
    network: Recall,
    footage: Footage,
    carried: Tensor,
    pictures: np.ndarray,
    budget: Budget,
    device: torch.device,
    config: MotionTraining,
    *,
    seed: int = 0,
    on_step: Callable[[int, Mapping[str, float]], None] = lambda step, figures: None,
) -> Recall:
    """Train until the budget is used and return the averaged network.

    Args:
        carried: (n, c, h, w) for each frame the one before, as motion carries it there.
        pictures: (n,) as pictures_for() gives them.
    """
    network.unit.fill_(usual_length(footage))
    network = network.to(device).train()
    average = Average(network, 0.998)
    rows = np.flatnonzero((pictures >= 0) & ~footage.held_out)
    random = np.random.default_rng(seed)
    size = footage.frames.shape[1:3]

    def lesson() -> Tensor:
        chosen = random.choice(rows, config.batch)
        with precision(device):
            seen, view, now = (x.to(device) for x in _seen(footage, carried, pictures, chosen))
            near = network.nearness(view, now)
        where, inside = network.find(near, seen, now, size)
        shown = to_float(torch.from_numpy(footage.frames[pictures[chosen]]).to(device))
        loss = picture_loss(fetch(shown, where), inside, footage, chosen, config, device)
        return loss + config.smoothness * roughness(near)

    fit(
        network, lesson, budget, device,
        rate=config.rate, warmup=config.warmup, gains={"zoom": ZOOM_GAIN}, average=average, on_step=on_step,
    )  # fmt: skip
    return average.network.eval().requires_grad_(False)


@torch.inference_mode()
def recall_all(
    network: Recall,
    autoencoder: Autoencoder,
    footage: Footage,
    carried: Tensor,
    latents: Tensor,
    pictures: np.ndarray,
    device: torch.device,
    *,
    on_step: Callable[[int], None] = lambda done: None,
    batch: int = 128,
) -> Tensor:
    """What the album shows of each frame, as play sees it. Shape (n, c + 1, h, w) float16, in main memory."""
    n, c, h, w = latents.shape
    recalled = torch.zeros(n, c + 1, h, w, dtype=torch.float16)
    wanted = np.flatnonzero(pictures >= 0)
    for start in range(0, len(wanted), batch):
        rows = wanted[start : start + batch]
        seen, view, now = (x.to(device) for x in _seen(footage, carried, pictures, rows))
        with precision(device):
            picture = latents[torch.from_numpy(pictures[rows])].float().to(device)
            pixels = to_float(to_pixels(autoencoder.decode(picture).float()))
            shown = turned(network, autoencoder, pixels, seen, view, now)
        recalled[torch.from_numpy(rows)] = shown.to("cpu", torch.float16)
        on_step(start + len(rows))
    return recalled


def _seen(footage: Footage, carried: Tensor, pictures: np.ndarray, rows: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
    """For rows that have a picture: its pose, about what will be seen, and the pose of that."""
    assert footage.pose is not None
    pose, row = torch.from_numpy(footage.pose), torch.from_numpy(rows)
    return pose[torch.from_numpy(pictures[rows])], carried[row].float(), pose[row]
