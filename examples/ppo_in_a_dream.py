"""Proximal policy optimisation inside a dream, in one file and in torch alone: tensors never leave the device.

python examples/ppo_in_a_dream.py doom-center 20000        PACK, imagined steps
"""

import sys

import torch
from torch import nn
from torch.distributions import Categorical

from inhabit.bindings.vector_env import make_vector_env

if len(sys.argv) < 3:
    sys.exit(__doc__)

ENVS, STEPS, EPOCHS, PARTS = 16, 32, 4, 4
GAMMA, LAMBDA, CLIP, ENTROPY, RATE = 0.99, 0.95, 0.2, 0.01, 3e-4

how = {"obs": "latent", "arrays": "torch", "autoreset_mode": "SameStep", "horizon": 64, "temperature": 1.1, "steps": 1}
envs = make_vector_env(ENVS, pack=sys.argv[1], **how)
inputs, outputs = torch.Size(envs.single_observation_space.shape or ()).numel(), 1 + len(envs.action_meanings)
network = nn.Sequential(nn.Flatten(), nn.Linear(inputs, 128), nn.Tanh(), nn.Linear(128, outputs))
optimiser = torch.optim.Adam(network.parameters(), RATE)


def judge(seen: torch.Tensor) -> tuple[Categorical, torch.Tensor]:
    return Categorical(logits=(out := network(seen))[:, 1:]), out[:, 0]


now, returns, finished = envs.reset(seed=1)[0], torch.zeros(ENVS), []
for _ in range(int(sys.argv[2]) // (ENVS * STEPS)):
    steps, gains = [], []
    with torch.no_grad():
        for _ in range(STEPS):
            policy, value = judge(now)
            action = policy.sample()
            following, reward, terminated, truncated, info = envs.step(action)
            ended, returns = terminated | truncated, returns + reward
            finished, returns = finished + returns[ended].tolist(), returns * ~ended
            for row in torch.where(truncated & ~terminated)[0].tolist():  # cut off, not over: the rest still counts
                reward[row] += GAMMA * judge(info["final_obs"][row][None])[1][0]
            steps.append((now, action, policy.log_prob(action), value, reward, (~ended).float()))
            now = following
        later, gain = judge(now)[1], torch.zeros(ENVS)
        for *_, value, reward, alive in reversed(steps):
            gain = reward + GAMMA * later * alive - value + GAMMA * LAMBDA * alive * gain
            later, gains = value, [gain, *gains]
    seen, did, old, values, _, _ = (torch.cat(column) for column in zip(*steps, strict=True))
    gained = torch.cat(gains)
    for part in torch.cat([torch.randperm(len(seen)) for _ in range(EPOCHS)]).chunk(EPOCHS * PARTS):
        policy, value = judge(seen[part])
        ratio, g = (policy.log_prob(did[part]) - old[part]).exp(), (gained[part] - gained.mean()) / gained.std()
        gain = torch.minimum(ratio * g, ratio.clamp(1 - CLIP, 1 + CLIP) * g) + ENTROPY * policy.entropy()
        optimiser.zero_grad()
        (0.5 * (value - (gained + values)[part]).square() - gain).mean().backward()
        optimiser.step()
    print(f"mean return {sum(finished[-50:]) / max(1, len(finished[-50:])):.2f}, {len(finished)} episodes")
