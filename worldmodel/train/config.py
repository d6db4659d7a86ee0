"""What one training session is told. No torch here: the command line reads it before anything is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro


@dataclass(frozen=True, kw_only=True, slots=True)
class LearnConfig:
    """What to learn from, and for how long."""

    recording: tyro.conf.Positional[Path]
    """Folder that `inhabit record` made."""

    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """Folder of the pack; what training needs to go on lies beside it, in OUT.run."""

    name: str = ""
    """The world's name; the folder's name when empty."""

    preset: str = "tiny"
    """Size: nano (agents), tiny (people on a 2-core CPU), tiny-fine (the same, finer), small (one GPU)."""

    minutes: float = 30.0
    """Length of this session; saved every two minutes."""

    device: str = "auto"
    """auto, cpu or cuda."""

    codec_share: float = 0.2
    """Share of the session that the codec gets when it has not passed its gate yet."""

    decoder_share: float = 0.0
    """Share of the session in which the decoder learns to draw what latents leave open, when it has not yet, an eighth
    or so; 0 leaves pictures as smooth as the codec makes them. What it does to long dreams is not known yet."""

    critic: bool = False
    """Teach the dynamics by a critic of latents to paint what looks like a frame and not like the mean of many. Walls
    get their grain back, and, as far as it was tried, blotches."""

    motion_share: float = 0.08
    """Share of the session that the motion network gets when there is none yet."""

    memory_share: float = 0.06
    """Share of the session that recall gets when there is none yet, where poses were recorded; 0 learns a world that
    forgets what it has not seen for a while."""

    edit_share: float = 0.15
    """Share of the session that the edit gets when there is none yet, where words were recorded: it carries words out
    on a picture. 0 leaves that to the dynamics."""

    vistas: int = 0
    """Pictures of the recording that the pack keeps, a few thousand: where the view turns to what nobody has seen, one
    of them goes on. For worlds that keep everything, and in which nothing but objects is fixed to the view. 0 takes as
    many as the pack has that is being improved."""

    atlas: int = 0
    """Pictures of the recording that the pack keeps with their poses, a few thousand: for a level that is the same in
    every episode. Each view is shown as the nearest of them looks from there, and nobody walks where nobody has been.
    For worlds that keep everything, in which little moves, and of which poses were recorded. 0 takes as many as the
    pack has that is being improved."""

    sound_share: float = 0.06
    """Share of the session that the sound codec gets when there is none yet; 0 learns a silent world."""

    foley_share: float = 0.1
    """Share of the session that foley gets when there is none yet, where sound was recorded: it makes the sound from
    what is done, said and heard. 0 leaves that to the dynamics."""

    flight_share: float = 0.06
    """Share of the session in which it is learnt where something goes that is held in the view, such as a ball that is
    thrown, when it is not known yet: with vistas, and where its boxes and poses were recorded. 0 leaves it in the
    hand."""

    keep: Literal["objects", "all"] = "objects"
    """What stays what it was where painting it anew gains little: objects alone, while walls and floors are painted in
    every frame; or everything, for worlds of many patterns that painting would blur, such as isle."""

    cut_share: float = 0.1
    """Share of the steps that show only the middle of the frames, wider or taller: the world then also plays at other
    sizes."""

    dice: bool = True
    """Draw by chance which objects come into view, instead of showing what is likeliest, which is none: where objects
    were recorded and no words. A run that has begun with dice goes on with them."""

    gate: float = 0.9
    """Share of the objects that are found in real frames which must be found in what the codec makes of them, before
    dynamics is trained (where objects were recorded)."""

    final: bool = True
    """Let the learning rate fall at the end; --no-final keeps it up for a session that will be continued."""
