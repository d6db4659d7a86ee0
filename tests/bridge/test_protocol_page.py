"""docs/protocol.md says what the code does: its example, its tables, its numbers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from inhabit.bridge import fields
from inhabit.bridge import messages as wire
from inhabit.bridge.codec import decode_from_client
from inhabit.bridge.controls import MOUSE_BUTTONS, PAD_AXES, PAD_BUTTONS
from inhabit.bridge.messages import ERRORS, FROM_CLIENT, FROM_SERVER, FrameHeader

PAGE = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text(encoding="utf-8")


def rows(heading):
    """The cells of the first table after a heading."""
    table = PAGE[PAGE.index(heading) :].split("\n\n|", 1)[1].split("\n\n", 1)[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]


def test_example_bytes_are_the_message_they_claim_to_be():
    example = PAGE[PAGE.index("## 6. Example") :]
    lines = re.findall(r"^ {4}\s*((?:[0-9a-f]{2} )*[0-9a-f]{2})(?:\s{2,}|$)", example, re.MULTILINE)
    data = bytes.fromhex(" ".join(lines))
    assert len(data) == 53
    assert decode_from_client([data]).message == wire.Input(
        seq=7, epoch=1, t_ns=1_000_000,
        controls=fields.WireControls(held=("KeyW",), pressed=("Space",), mouse_dx=1.5),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("heading", "table"), [("### From the client", FROM_CLIENT), ("### From the sidecar", FROM_SERVER)]
)
def test_every_message_is_in_its_table_with_all_its_fields(heading, table):
    said = {int(cells[0], 16): cells for cells in rows(heading)}
    assert set(said) == set(table)
    for byte, kind in table.items():
        name = {"FrameHeader": "FRAME"}.get(kind.__name__, kind.__name__.upper())
        assert said[byte][1].split()[0] == name
        if kind is not FrameHeader:
            for field in kind.__struct_fields__:
                assert f"`{field}`" in said[byte][2], (name, field)


@pytest.mark.parametrize(
    ("heading", "struct"), [("`controls` is an array", fields.WireControls), ("\nFRAME:", FrameHeader)]
)
def test_arrays_are_written_in_their_order(heading, struct):
    assert [(int(cells[0]), cells[1].strip("`")) for cells in rows(heading)] == list(
        enumerate(struct.__struct_fields__)
    )


def test_limits_and_names_are_the_real_ones():
    limits = fields.Limits()
    for field in limits.__struct_fields__:
        assert f"`{field}` = {getattr(limits, field)}" in PAGE
    for name in (*PAD_BUTTONS, *PAD_AXES, MOUSE_BUTTONS[0], MOUSE_BUTTONS[-1]):
        assert f'"{name}"' in PAGE
    for code in ERRORS:
        assert f"`{code}`" in PAGE
    assert "at most 65,536 bytes" in PAGE
    assert fields.MAX_HEADER_BYTES == 65_536
