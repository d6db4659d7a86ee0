"""The critic of latents: what it learns, what it is asked, and what flows where."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from inhabit.worldmodel.train.critic import Criticism, Exhibits, LatentCritic  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")


def exhibits(painted: float, frames: int = 8) -> Exhibits:
    """Real frames are made of -1 and 1 by chance; painted ones are the same times `painted`."""
    real, other = (torch.randint(2, (frames, 4, 6, 8)) * 2.0 - 1 for _ in range(2))
    return Exhibits(painted=painted * other, real=real, before=torch.zeros_like(real))


@pytest.fixture
def criticism() -> Criticism:
    torch.manual_seed(0)
    return Criticism(LatentCritic(4, (6, 8), width=16), CPU, rate=3e-3)


def test_it_learns_to_tell_the_mean_of_all_that_may_be_from_what_is(criticism):
    told = [criticism.learn([exhibits(0.0)]) for _ in range(60)]
    assert told[-1] > 0.95
    pale, right = criticism.of(exhibits(0.0)), criticism.of(exhibits(1.0))
    assert float(pale) > float(right) + 0.3


def test_what_looks_like_real_frames_cannot_be_told_from_them(criticism):
    told = [criticism.learn([exhibits(1.0)]) for _ in range(60)]
    assert sum(told[-20:]) / 20 < 0.6


def test_asking_it_teaches_the_painter_and_not_the_critic(criticism):
    shown = exhibits(0.0)
    painted = shown.painted.requires_grad_(True)
    kept = [p.clone() for p in criticism.critic.parameters()]
    criticism.of(Exhibits(painted=painted, real=shown.real, before=shown.before)).backward()
    assert painted.grad is not None
    assert float(painted.grad.abs().sum()) > 0
    assert all(p.grad is None for p in criticism.critic.parameters())
    criticism.learn([shown.detached()])
    assert any(not torch.equal(a, b) for a, b in zip(kept, criticism.critic.parameters(), strict=True))
    assert criticism.lessons == 1


def test_frames_of_other_sizes_are_judged_place_by_place(criticism):
    latents = torch.randn(3, 4, 4, 10)
    assert criticism.critic(latents, latents).shape == (3, 4, 10)


def test_it_learns_from_frames_of_several_sizes_at_once(criticism):
    small = Exhibits(painted=torch.zeros(2, 4, 3, 4), real=torch.ones(2, 4, 3, 4), before=torch.zeros(2, 4, 3, 4))
    assert 0 <= criticism.learn([exhibits(0.0), small]) <= 1
    assert criticism.lessons == 1
