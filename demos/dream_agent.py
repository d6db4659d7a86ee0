"""One agent in two worlds: it has learnt in the dream alone, and plays there (left) and in Doom (right) side by side.

inhabit experiment take-cover                                       first: makes the world and the agents
python -m inhabit.demos.dream_agent runs/take-cover                 a window
python -m inhabit.demos.dream_agent runs/take-cover --headless --seconds 20 --out agent.mp4
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pygame
import torch
import tyro

from inhabit.bindings.rl.paired import paired
from inhabit.bindings.window import use_dummy_display
from inhabit.bindings.window.clip import Clip
from inhabit.bindings.window.sheet import ContactSheet
from inhabit.bridge.errors import InhabitError
from inhabit.bridge.frames import Frame
from inhabit.demos.start import ready, run
from inhabit.worldmodel.experiments.config import PACK_NAME, RATE_HZ, TICS
from inhabit.worldmodel.experiments.policy import Policy, Sight, load_policy

PANE_PX, CAPTION_PX = 384, 34
INK, PAPER = (237, 239, 243), (18, 20, 25)


@dataclass(frozen=True, kw_only=True)
class Options:
    folder: Annotated[Path, tyro.conf.Positional] = Path("runs/take-cover")
    """What `inhabit experiment take-cover` wrote to."""

    headless: bool = False
    """Open no window."""

    seconds: float = 20.0
    """Length of the headless clip, s of the game's time."""

    out: Path = Path("agent.mp4")
    """The headless clip (.mp4); a page of moments (.png) appears beside it."""


class Pane:
    """One of the two worlds: the agent's eyes, how long it has lived, and how long it lived before."""

    def __init__(self, title: str, env: Any, policy: Policy, seed: int):
        self.title, self.env, self.policy = title, env, policy
        self.lives: list[int] = []
        self._rng = np.random.default_rng(seed)
        self._begin(seed)

    def turn(self) -> None:
        """One step; the agent draws from its chances, as it did when it learnt."""
        with torch.inference_mode():
            chances = self.policy(self.sight.seen)[0].probs[0].double().numpy()
        action = int(self._rng.choice(len(chances), p=chances / chances.sum()))
        latents, _, terminated, truncated, _ = self.env.step(action)
        self.lived += TICS
        self.sight.add(torch.from_numpy(latents)[None])
        if terminated or truncated:
            self.lives.append(self.lived)
            self._begin(None)

    def draw(self, screen: pygame.Surface, font: pygame.font.Font, x: int) -> None:
        picture = pygame.surfarray.make_surface(self.env.render().swapaxes(0, 1))
        screen.blit(pygame.transform.scale(picture, (PANE_PX, PANE_PX)), (x, CAPTION_PX))
        before = f", before that {np.mean(self.lives):.0f} on average" if self.lives else ""
        screen.blit(font.render(f"{self.title}: {self.lived} tics{before}", True, INK), (x + 8, 8))

    def _begin(self, seed: int | None) -> None:
        latents, _ = self.env.reset(seed=seed)
        self.sight, self.lived = Sight(torch.from_numpy(latents)[None]), 0


def newest_policy(folder: Path) -> Path:
    """The last policy that learnt in the world that was refined most often. Raises InhabitError when there is none."""
    found = list((folder / "policies").glob("dream-*-*.safetensors"))
    if not found:
        raise InhabitError(
            f"Expected agents that learnt in a dream (policies/dream-*.safetensors), got none - at {folder}; "
            f"`inhabit experiment take-cover -o {folder}` trains them"
        )
    return max(found, key=lambda path: (world_of(path), path.stat().st_mtime))


def world_of(policy: Path) -> int:
    """How often the world that a policy learnt in was refined."""
    return int(policy.name.split("-")[1])


def main(options: Options) -> None:
    """Play until the window is closed, or record a clip."""
    folder, file = options.folder, newest_policy(options.folder)
    ready("", options.out if options.headless else None, ".mp4")
    if options.headless:
        use_dummy_display()
    pack = folder / f"world-{world_of(file)}"
    pack = pack if pack.exists() else folder / PACK_NAME
    dream, real = paired(pack, obs="latent", render_mode="rgb_array", steps=1)
    shape, actions = dream.observation_space.shape, len(dream.unwrapped.action_meanings)  # type: ignore[attr-defined]
    policy = load_policy(file, shape or (), actions)
    pygame.init()
    screen = pygame.display.set_mode((2 * PANE_PX, PANE_PX + CAPTION_PX))
    pygame.display.set_caption("An agent that learnt in a dream")
    font, clock = pygame.font.Font(None, 22), pygame.time.Clock()
    panes = [Pane("in the dream", dream, policy, 1), Pane("in Doom", real, policy, 1)]
    film = Clip(options.out, screen.get_size(), RATE_HZ) if options.headless else None
    sheet, frames = ContactSheet(), 0
    try:
        while film is None or frames < options.seconds * RATE_HZ:
            if any(event.type == pygame.QUIT for event in pygame.event.get()):
                break
            screen.fill(PAPER)
            for index, pane in enumerate(panes):
                pane.turn()
                pane.draw(screen, font, index * PANE_PX)
            pygame.display.flip()
            frames += 1
            if film is None:
                clock.tick(RATE_HZ)
            else:
                film.add(screen, Frame(pixels=np.zeros((1, 1, 3), np.uint8), index=frames))
                sheet.add(screen, frames / RATE_HZ, f"{panes[0].lived} | {panes[1].lived} tics")
    finally:
        if film is not None:
            film.close()
        for pane in panes:
            pane.env.close()
    if options.headless:
        page = options.out.with_suffix(".png")
        sheet.save(page)
        print(f"{options.out} and {page}: {file.stem}, " + ", ".join(f"{pane.title} {pane.lives}" for pane in panes))


if __name__ == "__main__":
    run(main, Options, __doc__)
