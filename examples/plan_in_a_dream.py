"""Plan with a world that can be forked: cross-entropy search over action sequences, the best first action is taken.

python examples/plan_in_a_dream.py doom-center 30        PACK, frames to play
"""

import sys

import numpy as np

from inhabit.bindings.vector_env import make_vector_env

if len(sys.argv) < 3:
    sys.exit(__doc__)

AHEAD, BRANCHES, ROUNDS, ELITE = 8, 24, 2, 6


def plan(envs, rng):
    """The first action of the best of many imagined futures, each with noise of its own."""
    choices = len(envs.action_meanings)
    chances = np.full((AHEAD, choices), 1 / choices)
    for _ in range(ROUNDS):
        futures = envs.fork([0], BRANCHES)  # this very moment, BRANCHES times
        plans = np.stack([rng.choice(choices, BRANCHES, p=row) for row in chances])
        earned, alive = np.zeros(BRANCHES), np.ones(BRANCHES, bool)
        for actions in plans:
            _, rewards, terminated, truncated, _ = futures.step(actions)
            earned += rewards * alive
            alive &= ~(terminated | truncated)
        best = plans[:, np.argsort(-earned - alive)[:ELITE]]
        counts = np.stack([(best == choice).mean(1) for choice in range(choices)], 1)
        chances = 0.8 * counts + 0.2 / choices  # some doubt remains
    return int(chances[0].argmax())


envs = make_vector_env(1, pack=sys.argv[1], obs="latent", steps=1)
rng, earned, taken = np.random.default_rng(0), 0.0, []
envs.reset(seed=1)
for _ in range(int(sys.argv[2])):
    action = plan(envs, rng)
    _, rewards, terminated, _, _ = envs.step([action])
    earned += float(rewards[0])
    taken.append(envs.action_meanings[action])
    if terminated[0]:
        break
imagined = len(taken) * BRANCHES * AHEAD * ROUNDS
print(f"{len(taken)} frames, {imagined} imagined, reward {earned:.2f}: {' '.join(taken[:8])} ...")
