"""What falls is a layer of its own: taken out of what is seen, and drawn over what is dreamt."""

from __future__ import annotations

import math
from dataclasses import replace

import msgspec
import pytest
import torch

from inhabit.bridge.controls import IDLE
from inhabit.worldmodel.engine import Engine
from inhabit.worldmodel.neural_world import NeuralWorld
from inhabit.worldmodel.omni.air import Air, AirConfig
from inhabit.worldmodel.omni.autoencoder import to_float
from inhabit.worldmodel.omni.dynamics import Dynamics
from inhabit.worldmodel.omni.edit import Edit, EditConfig
from inhabit.worldmodel.omni.text import TextConfig
from inhabit.worldmodel.pack import Pack, load_pack, save_pack
from inhabit.worldmodel.state import State
from inhabit.worldmodel.train.air import AirTraining, Sayings, Weather, film_of, measure_air, train_air
from inhabit.worldmodel.train.schedule import Budget
from inhabit.worldmodel.worlds.isle.attributes import Attributes
from inhabit.worldmodel.worlds.isle.light import light_of
from inhabit.worldmodel.worlds.isle.render import render
from inhabit.worldmodel.worlds.isle.scene import create
from inhabit.worldmodel.worlds.isle.styles import colours_of_air

pytestmark = pytest.mark.usefixtures("one_thread")

TEXT = TextConfig(tokens=8, buckets=64, width=16, layers=1, heads=2)
CPU = torch.device("cpu")


def dotted(**changes) -> Air:
    """Air in which white dots fall by a row a frame, one in every 8x8 pixels; it hears rain in every word."""
    torch.manual_seed(0)
    sizes = {"kinds": ("rain", "snow"), "frames": 8, "size": (64, 64), "focal": 32.0, "width": 8, "text": TEXT}
    air = Air(AirConfig(**{**sizes, **changes}))
    for frame in range(air.config.frames):
        air.film[:, frame, frame % 8 :: 8, 3::8] = 255
    with torch.no_grad():
        for layer, bias in ((air.colour[-1], 9.0), (air.falls[-1], -9.0), (air.words.out[-1], 9.0)):
            assert isinstance(layer, torch.nn.Linear)
            layer.weight.zero_()
            layer.bias.fill_(bias)
        hears(air)[2] = -9.0  # and no snow
    return air.eval().requires_grad_(False)


def hears(air: Air) -> torch.Tensor:
    """What it makes of words, whatever they are: whether they speak of it, of rain, of snow."""
    bias = air.words.out[-1].bias
    assert isinstance(bias, torch.Tensor)
    return bias


@pytest.fixture
def rainy_pack(small_pack) -> Pack:
    """The small pack with ears, and air in which dots fall once anything is said."""
    torch.manual_seed(3)
    config = replace(small_pack.file.dynamics, text=TEXT, keeps=True)
    sizes = {"width": 16, "coarse_width": 16, "blocks": (1, 1), "coarse_blocks": 1, "heads": 2, "grid": (4, 4)}
    edit, air = Edit(EditConfig(text=TEXT, latent_channels=config.latent_channels, **sizes)), dotted()
    told = {"dynamics": config, "edit": edit.config, "air": air.config, "vocabulary": ("rain", "snow")}
    file = msgspec.structs.replace(small_pack.file, **told)
    return replace(small_pack, file=file, dynamics=Dynamics(config), edit=edit, air=air)


def grey(count: int = 1, size: tuple[int, int] = (64, 64)) -> torch.Tensor:
    return torch.full((count, *size, 3), 100, dtype=torch.uint8)


def drawn(air: Air, amount: list[float], *, yaw: float = 0.0, pitch: float = 0.0, frame: int = 0, size=(64, 64)):
    pose = torch.tensor([[0.0, 0.0, 0.0, yaw, pitch]])
    return air.drawn(grey(size=size), torch.tensor([amount]), pose, torch.tensor([frame]))[0, ..., 0]


def test_where_nothing_falls_pictures_are_what_they_are():
    air, pixels = dotted(), grey(2)
    one = air.drawn(pixels, torch.tensor([[0.0, 0.0], [1.0, 0.0]]), torch.zeros(2, 5), torch.zeros(2).long())
    assert torch.equal(one[0], pixels[0])
    assert not torch.equal(one[1], pixels[1])


def test_what_falls_falls_and_goes_on_from_its_end():
    air = dotted()
    seen = [drawn(air, [1.0, 0.0], frame=frame) for frame in range(9)]
    assert torch.equal(seen[1], seen[0].roll(1, 0)), "a row further down"
    assert torch.equal(seen[8], seen[0]), "the film begins again"
    assert torch.equal(drawn(air, [1.0, 0.0], frame=10**6), seen[0])


def test_half_as_much_is_half_as_bright():
    air = dotted()
    whole, half = (drawn(air, [amount, 0.0]).int() for amount in (1.0, 0.5))
    assert (half - 100).sum() == pytest.approx(float((whole - 100).sum()) / 2, rel=0.02)


def test_turning_moves_it_as_it_moves_the_stars():
    air = dotted()
    seen = drawn(air, [1.0, 0.0])
    right, up = drawn(air, [1.0, 0.0], yaw=3 / 32), drawn(air, [1.0, 0.0], pitch=3 / 32)
    assert torch.equal(right, seen.roll(-3, 1)), "who turns to the right sees it move to the left"
    assert torch.equal(up, seen.roll(3, 0)), "who looks up sees it move down"


@pytest.mark.parametrize("size", [(64, 96), (48, 32), (160, 64)])
def test_views_of_other_shapes_have_it_everywhere(size):
    seen = drawn(dotted(), [1.0, 0.0], size=size)
    assert seen.shape == size
    for half in (seen[: size[0] // 2], seen[size[0] // 2 :], seen[:, : size[1] // 2], seen[:, size[1] // 2 :]):
        assert (half > 200).float().mean() == pytest.approx(1 / 64, rel=0.3)


def test_words_that_do_not_speak_of_it_leave_it_as_it_is():
    air, before = dotted(), torch.tensor([[0.3, 0.6]])
    assert air.told(["rain"], before)[0].tolist() == pytest.approx([1.0, 0.0], abs=1e-3)
    with torch.no_grad():
        hears(air)[0] = -9.0
    assert torch.equal(air.told(["night"], before), before)


def test_pictures_of_any_size_are_cleared():
    air = dotted()
    for size in ((64, 64), (66, 98), (31, 47)):
        behind, falls = air(torch.rand(2, 3, *size))
        assert behind.shape == (2, 3, *size)
        assert falls.shape == (2, 2)


def test_a_film_shows_what_covers_the_world_and_has_no_seam():
    covers = torch.zeros(60, 16, 16)
    for frame in range(60):
        covers[frame, frame % 16 :: 16, ::4] = 0.5
    behind = torch.randint(0, 100, (60, 16, 16, 3), dtype=torch.uint8)
    seen = (behind + (255.0 - behind) * covers[..., None]).round().to(torch.uint8)
    film = film_of(seen, behind, torch.ones(3), 32)
    assert film.shape == (32, 16, 16)
    assert all(min(value, abs(value - 127)) <= 3 for value in film.unique().tolist())
    assert film.max() > 100
    assert (film[0].int() - film[16].int()).abs().max() <= 3, "two rounds of 16 frames"
    assert (film[-1].roll(1, 0).int() - film[0].int()).abs().max() <= 3, "and a third one begins"
    with pytest.raises(ValueError, match="more than 76 frames, got 60"):
        film_of(seen, behind, torch.ones(3), 60)


def weather(count: int) -> tuple[Weather, Sayings]:
    """White dots before grey squares; most prompts speak of rain, or of none."""
    behind = torch.randint(0, 120, (count, 1, 1, 3), dtype=torch.uint8).repeat(1, 32, 32, 1)
    falls = torch.arange(count) % 2 == 1
    dots = (torch.rand(count, 32, 32, 1) < 0.05) & falls[:, None, None, None]
    amount = torch.stack([falls.float(), torch.zeros(count)], 1)
    said = {"let it rain": (1.0, 1.0), "no rain": (1.0, 0.0), "a red tower": (0.0, 0.0), "rain at night": (1.0, 1.0)}
    texts = [list(said)[n % len(said)] for n in range(count)]
    amount_said = torch.tensor([[said[text][1], 0.0] for text in texts])
    told = Sayings(texts=texts, speaks=torch.tensor([said[text][0] for text in texts]), amount=amount_said)
    seen = torch.where(dots, torch.full_like(behind, 250), behind)
    return Weather(seen=seen, behind=behind, amount=amount, colour=torch.ones(count, 2, 3)), told


def test_it_is_learnt_from_pictures_with_it_and_without():
    torch.manual_seed(0)
    air = Air(AirConfig(size=(32, 32), frames=4, width=8, text=TEXT))
    train_air(air, *weather(256), Budget(seconds=math.inf), CPU, AirTraining(steps=700, word_steps=200))
    figures = measure_air(air, *weather(64))
    assert figures["left"] < 0.6 * figures["seen"]
    assert figures["harm"] < 2
    assert figures["amount"] < 0.2
    assert figures["words"] == 1


def test_the_simulator_shows_the_world_behind_in_the_same_light():
    ways = [Attributes(weather=weather) for weather in ("clear", "rain", "snow", "storm")]
    state = create([5] * 4, ways, avatars=0)
    seen, behind = render(state, 64, 64), render(state, 64, 64, falling=False)
    assert torch.equal(seen.pixels[0], behind.pixels[0])
    for row in (1, 2, 3):
        differs = (seen.pixels[row].int() - behind.pixels[row].int()).abs().amax(-1) > 8
        assert 0.01 < differs.float().mean() < 0.5, ways[row].weather
    assert (behind.pixels[2].float() - behind.pixels[0].float()).abs().mean() > 3, "snow has its own light"
    colours = colours_of_air(state, light_of(state))
    assert colours.shape == (4, 2, 3)
    assert 0 <= float(colours.min()) <= float(colours.max()) <= 1


def test_who_asks_for_it_sees_it_and_the_world_behind_does_not(rainy_pack):
    engine = Engine.of(rainy_pack)
    latents, actions = (part[:2] for part in (rainy_pack.starts.latents, rainy_pack.starts.actions))
    state = engine.begin(latents, actions, torch.arange(2), prompts=["", ""])
    assert torch.equal(engine.show(state), state.pixels)
    rains = engine.say(state, ["rain", "rain"])
    assert rains.air.tolist() == [pytest.approx([1.0, 0.0], abs=1e-3)] * 2
    after = rains
    for _ in range(3):
        after, _ = engine.step(after, torch.zeros(2, 3))
    plain = replace(rains, air=torch.zeros(2, 2))
    for _ in range(3):
        plain, _ = engine.step(plain, torch.zeros(2, 3))
    assert torch.equal(after.pixels, plain.pixels), "what falls is no part of what is dreamt"
    shown = engine.show(after).float() - after.pixels.float()
    assert 0.01 < float((shown.abs().amax(-1) > 8).float().mean()) < 0.1
    assert torch.equal(engine.show(plain), plain.pixels)


def test_what_fell_in_the_pictures_one_begins_with_falls_on(rainy_pack):
    air = rainy_pack.air
    assert air is not None
    with torch.no_grad():
        air.falls[-1].bias[1] = 9.0  # it sees snow wherever it looks
        air.out.bias.fill_(0.25)
    engine = Engine.of(rainy_pack)
    latents, actions = (part[:1] for part in (rainy_pack.starts.latents, rainy_pack.starts.actions))
    state = engine.begin(latents, actions, torch.tensor([0]))
    assert state.air[0].tolist() == pytest.approx([0.0, 1.0], abs=1e-3)
    decoded = engine.autoencoder.decode(latents[:, -1].float()).clamp(-1, 1)
    again = engine.autoencoder.encode((decoded + 0.25).clamp(-1, 1))
    assert torch.allclose(state.latents, again, atol=1e-4), "what is behind it is what the dream begins with"
    assert torch.equal(engine.anchor(state).air, state.air), "a soft reset does not stop it"


def test_sessions_with_it_are_saved_joined_and_forked(rainy_pack, tmp_path):
    save_pack(rainy_pack, tmp_path / "rainy")
    pack = load_pack(tmp_path / "rainy")
    assert pack.air is not None
    assert torch.equal(pack.air.film, rainy_pack.air.film)
    world = NeuralWorld(pack, Engine.of(pack))
    world.reset(seed=1)
    world.configure(prompt="rain")
    kept = world.save()
    there = [world.step(IDLE).pixels for _ in range(3)]
    world.configure(prompt="no snow")
    world.restore(kept)
    for pixels in there:
        assert (world.step(IDLE).pixels == pixels).all()


def test_older_states_have_no_air(rainy_pack):
    engine = Engine.of(replace(rainy_pack, air=None))
    latents, actions = (part[:1] for part in (rainy_pack.starts.latents, rainy_pack.starts.actions))
    state = engine.begin(latents, actions, torch.tensor([0]))
    named = {name: value for name, value in state.tensors().items() if name != "air"}
    assert State.from_tensors(named).air.shape == (1, 0)
    assert torch.equal(engine.show(state), state.pixels)
    assert to_float(state.pixels).shape == (1, 3, 64, 64)
