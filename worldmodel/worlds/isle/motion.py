"""One step of a batch of isles: the player walks, things wander, the ball flies, the weather turns.

A pure function: State and actions in, State out. All in float32 on the state's device, without a sync.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from inhabit.worldmodel.worlds.isle.attributes import LANDMARKS, WEATHERS
from inhabit.worldmodel.worlds.isle.scene import (
    AVATARS,
    BALL,
    BALL_RADIUS_M,
    CREATURES,
    EACH,
    EVENTS,
    EYE_M,
    HEIGHT_M,
    NEVER,
    PLAYER_RADIUS_M,
    RADIUS_M,
    REACH_M,
    SHORE_M,
    STEP_S,
    WALKER_RADIUS_M,
    WALKERS,
    State,
    draws,
    goal_weights,
    replaced,
    wanted,
)  # fmt: skip
from inhabit.worldmodel.worlds.isle.voices import Hearing, listen

ACTIONS = ("MOVE_X", "MOVE_Y", "LOOK_X", "LOOK_Y", "JUMP", "THROW")
WALK_M_S, YAW_RAD_S, PITCH_RAD_S = 4.0, math.radians(120), math.radians(80)
PITCH_MAX = math.radians(35)
WALK_INERTIA, LOOK_INERTIA = 0.4, 0.55
"""Share of the way to the wanted speed that is made in one frame."""
JUMP_M_S, GRAVITY = 4.6, 11.0
THROW_M_S, LIFT_M_S, BOUNCE = 12.0, 3.4, 0.62
STRIDE_M = 1.7
FADE_FRAMES = 4
"""Frames until what words ask for is all there: a quarter of a second."""
CALM_FRAMES = 10
"""Frames after a throw in which the ball cannot be picked up."""
_STORM = WEATHERS.index("storm")


@torch.inference_mode()
def step(state: State, actions: Tensor, *, avatars: Tensor | None = None) -> State:
    """Advance every island by one frame.

    Args:
        actions: (b, 6) float32 in the order of ACTIONS; values outside -1 to 1 are clamped.
        avatars: (b, 2, 3) x, z and yaw of other people who are driven from outside; None lets them wander.
    """
    frame = state.frame + 1
    happened: dict[str, Tensor] = {}
    actions = actions.to(state.player.device, torch.float32).nan_to_num().clamp(-1, 1)
    held = actions[:, 4:] > 0.5
    down = held & ~state.pressed
    state = _fade(replaced(state, frame=frame, pressed=held))
    state = _walk(state, actions, down[:, 0], happened)
    state = _wander(state, avatars)
    state = _throw(state, down[:, 1], happened)
    for _ in range(2):  # a thrown ball crosses 0.8 m a frame: two halves keep it from passing through things
        state = _fly(state, happened)
    state = _pick_up(state, happened)
    state, calls = _weather_and_calls(state, happened)
    nothing = torch.zeros_like(state.ball_held)
    events = torch.stack([happened.get(name, nothing) for name in EVENTS], 1)
    state = replaced(state, events=events)
    return listen(state, Hearing(calls=calls))


def _fade(state: State) -> State:
    """Bring light, weather, ground, presence and tint nearer to the goal."""

    def nearer(now: Tensor, goal: Tensor) -> Tensor:
        return now + (goal - now).clamp(-1 / FADE_FRAMES, 1 / FADE_FRAMES)

    avatars = (state.presence[:, AVATARS.start : AVATARS.stop] > 0).sum(1)
    presence, tint = wanted(state.goal, state.key, avatars)
    soft = {name: nearer(getattr(state, name), goal_weights(state.goal, name)) for name in ("time", "weather")}
    soft |= {name: nearer(getattr(state, name), goal_weights(state.goal, name)) for name in ("ground", "style")}
    soft = {name: weights / weights.sum(1, keepdim=True) for name, weights in soft.items()}
    hidden = state.presence[..., None] == 0  # what grows anew comes in its new colour at once
    tint = torch.where(hidden, tint, nearer(state.tint, tint))
    return replaced(state, **soft, presence=nearer(state.presence, presence), tint=tint)


def _walk(state: State, actions: Tensor, jump: Tensor, happened: dict[str, Tensor]) -> State:
    spin = state.spin + LOOK_INERTIA * (actions[:, 2:4] * state.spin.new_tensor([YAW_RAD_S, PITCH_RAD_S]) - state.spin)
    look = state.look + spin * STEP_S
    yaw = torch.remainder(look[:, 0] + math.pi, 2 * math.pi) - math.pi
    look = torch.stack([yaw, look[:, 1].clamp(-PITCH_MAX, PITCH_MAX)], 1)
    push = actions[:, :2] / actions[:, :2].norm(dim=1, keepdim=True).clamp(min=1)
    wish_x = push[:, 0] * yaw.cos() + push[:, 1] * yaw.sin()
    wish_z = push[:, 1] * yaw.cos() - push[:, 0] * yaw.sin()
    x, y, z = state.player.unbind(1)
    vx, vy, vz = state.velocity.unbind(1)
    grip = torch.where(y > 0, 0.1, WALK_INERTIA)
    vx, vz = vx + grip * (WALK_M_S * wish_x - vx), vz + grip * (WALK_M_S * wish_z - vz)
    jumps = jump & (y <= 0)
    vy = torch.where(jumps, JUMP_M_S, vy)
    aloft = (y > 0) | (vy > 0)
    new_y = torch.where(aloft, y + vy * STEP_S - 0.5 * GRAVITY * STEP_S**2, 0.0).clamp(min=0)
    vy = torch.where(new_y > 0, vy - GRAVITY * STEP_S, 0.0)
    wanted_x, wanted_z = x + vx * STEP_S, z + vz * STEP_S
    new_x, new_z = _push_out(state, wanted_x, wanted_z, PLAYER_RADIUS_M)
    new_x, new_z = _inside(new_x, new_z, REACH_M)
    vx, vz = (new_x - x) / STEP_S, (new_z - z) / STEP_S
    went = torch.hypot(vx, vz).clamp(max=WALK_M_S) * STEP_S
    stride = torch.where(new_y > 0, state.stride, state.stride + went)
    treads = stride >= STRIDE_M
    wet = new_x**2 + new_z**2 > SHORE_M**2
    happened |= {"jump": jumps, "land": aloft & (new_y <= 0), "step": treads & ~wet, "splash": treads & wet}
    happened["bump"] = torch.hypot(wanted_x - new_x, wanted_z - new_z) > 0.1
    return replaced(
        state,
        spin=spin,
        look=look,
        player=torch.stack([new_x, new_y, new_z], 1),
        velocity=torch.stack([vx, vy, vz], 1).clamp(-WALK_M_S * 1.5, WALK_M_S * 1.5),
        stride=torch.where(treads, stride - STRIDE_M, stride),
    )


def _radii(state: State) -> Tensor:
    """(b, 15) m: how wide each landmark is to walk into now; nothing where none stands."""
    sizes = state.place.new_tensor([RADIUS_M[kind] for kind in LANDMARKS]).repeat_interleave(EACH)
    return sizes * (state.presence[:, : CREATURES.start] > 0.3)


def _push_out(state: State, x: Tensor, z: Tensor, radius_m: float) -> tuple[Tensor, Tensor]:
    """Move points (b,) or (b, n) out of the landmarks."""
    single = x.dim() == 1
    if single:
        x, z = x[:, None], z[:, None]
    radii = _radii(state)[:, None]  # (b, 1, 15)
    there = radii > 0
    for _ in range(2):  # leaving one landmark can lead into another
        dx = x[..., None] - state.place[:, None, : CREATURES.start, 0]
        dz = z[..., None] - state.place[:, None, : CREATURES.start, 2]
        apart = torch.hypot(dx, dz).clamp(min=1e-3)
        deep = torch.where(there, (radii + radius_m - apart).clamp(min=0), 0.0) / apart
        x, z = x + (deep * dx).sum(-1), z + (deep * dz).sum(-1)
    return (x[:, 0], z[:, 0]) if single else (x, z)


def _inside(x: Tensor, z: Tensor, reach_m: float) -> tuple[Tensor, Tensor]:
    shrink = (reach_m / torch.hypot(x, z).clamp(min=1e-3)).clamp(max=1)
    return x * shrink, z * shrink


def _wander(state: State, avatars: Tensor | None) -> State:
    """Creatures and people walk about: they head for their aim, change it now and then, and turn from walls."""
    place, yaw = state.place[:, WALKERS.start : WALKERS.stop], state.yaw[:, WALKERS.start : WALKERS.stop]
    chance = draws(state.key, state.frame, 10, 2 * len(WALKERS))
    change, where = chance.view(-1, 2, len(WALKERS)).unbind(1)
    aim = torch.where(change < 0.02, where * (2 * math.pi), state.aim)
    turn = torch.remainder(aim - yaw + math.pi, 2 * math.pi) - math.pi
    yaw = yaw + turn.clamp(-0.14, 0.14)
    fast = place.new_tensor([1.3] * len(CREATURES) + [1.7] * len(AVATARS))
    # every walker rests a quarter of its time, by a slow clock of its own
    clock = (
        state.frame[:, None] * 0.02 + torch.arange(len(WALKERS), device=place.device) * 1.7 + state.traits[:, :1] * 6
    )
    speed = fast * (clock.sin() > -0.5) * (turn.abs() < 1.2)
    x, z = place[..., 0] + speed * yaw.sin() * STEP_S, place[..., 2] + speed * yaw.cos() * STEP_S
    # nobody stands in the player's face
    dx, dz = x - state.player[:, :1], z - state.player[:, 2:]
    near = torch.hypot(dx, dz).clamp(min=0.05)
    push = (1.5 - near).clamp(min=0) / near
    out_x, out_z = _push_out(state, x + push * dx, z + push * dz, WALKER_RADIUS_M)
    out_x, out_z = _inside(out_x, out_z, SHORE_M - 3)
    blocked = torch.hypot(out_x - x, out_z - z) > 0.02
    home = torch.atan2(-x, -z) + (where - 0.5)
    aim = torch.where(blocked, torch.where(x.square() + z.square() > 400, home, yaw + 2.2), aim)
    gait = state.gait[:, WALKERS.start : WALKERS.stop] + speed * (5.2 * STEP_S)
    walkers = torch.stack([out_x, torch.zeros_like(x), out_z], -1)
    if avatars is not None:
        there = avatars.to(place)
        walkers[:, -2:, 0], walkers[:, -2:, 2], yaw[:, -2:] = there[..., 0], there[..., 1], there[..., 2]
    return replaced(
        state,
        place=torch.cat([state.place[:, : WALKERS.start], walkers, state.place[:, BALL:]], 1),
        yaw=torch.cat([state.yaw[:, : WALKERS.start], yaw, state.yaw[:, BALL:]], 1),
        gait=torch.cat([state.gait[:, : WALKERS.start], gait, state.gait[:, BALL:]], 1),
        aim=aim,
    )


def gaze(state: State) -> Tensor:
    """(b, 3) unit vector along which the player looks."""
    yaw, pitch = state.look.unbind(1)
    return torch.stack([yaw.sin() * pitch.cos(), pitch.sin(), yaw.cos() * pitch.cos()], 1)


def hand(state: State) -> Tensor:
    """(b, 3) m: where the ball is held, low on the right of the view, swinging with the stride."""
    yaw, ahead = state.look[:, 0], gaze(state)
    right = torch.stack([yaw.cos(), torch.zeros_like(yaw), -yaw.sin()], 1)
    up = torch.cross(ahead, right, dim=1)
    swing = 0.02 * torch.sin(state.stride * (2 * math.pi / STRIDE_M))
    eye = state.player + state.player.new_tensor([0.0, EYE_M, 0.0])
    return eye + 0.80 * ahead + 0.34 * right - (0.36 + swing)[:, None] * up


def _throw(state: State, throw: Tensor, happened: dict[str, Tensor]) -> State:
    """A throw begins from the hand, wherever the ball lay before."""
    happened["throw"] = throw
    from_hand = (state.ball_held | throw)[:, None]
    ball = torch.where(from_hand, hand(state), state.place[:, BALL])
    lift = state.velocity.new_tensor([0.0, LIFT_M_S, 0.0])
    speed = gaze(state) * THROW_M_S + lift + state.velocity
    return replaced(
        state,
        place=torch.cat([state.place[:, :BALL], ball[:, None]], 1),
        ball_velocity=torch.where(
            throw[:, None], speed, torch.where(state.ball_held[:, None], 0.0, state.ball_velocity)
        ),
        ball_held=state.ball_held & ~throw,
        ball_age=torch.where(throw, 0, state.ball_age + 1),
    )


def _fly(state: State, happened: dict[str, Tensor]) -> State:
    """Half a frame of the ball's flight: gravity, ground, landmarks, water."""
    half_s = STEP_S / 2
    x, y, z = state.place[:, BALL].unbind(1)
    vx, vy, vz = state.ball_velocity.unbind(1)
    free = ~state.ball_held
    vy = vy - GRAVITY * half_s
    x, y, z = x + vx * half_s, y + vy * half_s, z + vz * half_s
    wet = x * x + z * z > SHORE_M**2
    low = y < BALL_RADIUS_M
    hits = low & (vy < -1.2) & ~wet
    splash = low & wet & (vy < -1.2)
    y = y.clamp(min=BALL_RADIUS_M)
    vy = torch.where(hits, -BOUNCE * vy, torch.where(low, 0.0, vy))
    drag = torch.where(low, torch.where(wet, 0.5, torch.where(hits, 0.85, 0.965)), 1.0)
    vx, vz = vx * drag, vz * drag
    x, y, z, vx, vy, vz, knocks = _rebound(state, x, y, z, vx, vy, vz)
    bounce = happened.get("bounce", torch.zeros_like(free)) | ((hits | knocks) & free)
    happened |= {"bounce": bounce, "splash": happened["splash"] | (splash & free)}
    held = state.ball_held[:, None]
    speed = torch.hypot(vx, vz)
    rolling = (speed > 0.05) & free
    yaw = torch.where(rolling, torch.atan2(vx, vz), torch.where(free, state.yaw[:, BALL], state.look[:, 0]))
    gait = torch.where(free, state.gait[:, BALL] + speed * half_s / BALL_RADIUS_M, 0.6)
    ball = torch.where(held, state.place[:, BALL], torch.stack([x, y, z], 1))
    return replaced(
        state,
        place=torch.cat([state.place[:, :BALL], ball[:, None]], 1),
        yaw=torch.cat([state.yaw[:, :BALL], yaw[:, None]], 1),
        gait=torch.cat([state.gait[:, :BALL], gait[:, None]], 1),
        ball_velocity=torch.where(held, 0.0, torch.stack([vx, vy, vz], 1)),
    )


def _rebound(state: State, x, y, z, vx, vy, vz):
    """Throw the ball back from the landmark that it has entered."""
    tall = x.new_tensor([HEIGHT_M[kind] for kind in LANDMARKS]).repeat_interleave(EACH) * 0.9
    dx = x[:, None] - state.place[:, : CREATURES.start, 0]
    dz = z[:, None] - state.place[:, : CREATURES.start, 2]
    apart = torch.hypot(dx, dz).clamp(min=1e-3)
    deep = torch.where((_radii(state) > 0) & (y[:, None] < tall), _radii(state) + BALL_RADIUS_M - apart, -1.0)
    depth, which = deep.max(1)
    rows = torch.arange(len(x), device=x.device)
    nx, nz = dx[rows, which] / apart[rows, which], dz[rows, which] / apart[rows, which]
    inward = vx * nx + vz * nz
    touches = depth > 0
    knocks = touches & (inward < -1.0)
    back = torch.where(touches & (inward < 0), -1.55 * inward, 0.0)
    out = depth.clamp(min=0)
    return x + out * nx, y, z + out * nz, vx + back * nx, vy, vz + back * nz, knocks


def _pick_up(state: State, happened: dict[str, Tensor]) -> State:
    away = state.place[:, BALL] - state.player
    near = (torch.hypot(away[:, 0], away[:, 2]) < 1.0) & (away[:, 1] < 2.0)
    taken = near & ~state.ball_held & (state.ball_age > CALM_FRAMES)
    happened["pickup"] = taken
    ball = torch.where(taken[:, None], hand(state), state.place[:, BALL])
    return replaced(
        state,
        ball_held=state.ball_held | taken,
        place=torch.cat([state.place[:, :BALL], ball[:, None]], 1),
    )


def _weather_and_calls(state: State, happened: dict[str, Tensor]) -> tuple[State, Tensor]:
    """Lightning, its thunder a little later, and which creatures call."""
    chance = draws(state.key, state.frame, 11, 3 + len(CREATURES))
    strikes = (chance[:, 0] < 0.035) & (state.weather[:, _STORM] > 0.6) & (state.lightning > 12)
    rumbles = state.thunder_in == 0
    delay = 6 + (chance[:, 2] * 14).long()
    idle = state.thunder_in == NEVER
    waiting = torch.where(idle | rumbles, NEVER, state.thunder_in - 1)
    thunder_in = torch.where(strikes & idle, delay, waiting)
    # half the bolts strike where the player looks, so that they are seen
    bolt = torch.where(chance[:, 1] < 0.6, state.look[:, 0] + (chance[:, 1] / 0.6 - 0.5), chance[:, 1] * (2 * math.pi))
    present = state.presence[:, CREATURES.start : CREATURES.stop] > 0.5
    calls = (chance[:, 3:] < 0.014) & present
    happened |= {"lightning": strikes, "thunder": rumbles, "call": calls.any(1)}
    return (
        replaced(
            state,
            lightning=torch.where(strikes, 0, (state.lightning + 1).clamp(max=NEVER)),
            bolt=torch.where(strikes, bolt, state.bolt),
            thunder_in=thunder_in,
        ),
        calls,
    )
