"""Frames that would fill memory go to disk, and are the same there."""

import errno
import tempfile

import numpy as np
import pytest

from inhabit.worldmodel.recordings import RecordingError
from inhabit.worldmodel.train.frames import FrameStore

SHARDS = [np.random.default_rng(n).integers(0, 256, (5 + n, 4, 6, 3), np.uint8) for n in range(4)]


@pytest.mark.parametrize(("most_bytes", "kind"), [(1e9, np.ndarray), (0, np.memmap), (1000, np.memmap)])
def test_frames_are_the_same_wherever_they_lie(most_bytes, kind):
    store = FrameStore(most_bytes)
    for shard in SHARDS:
        store.add(shard)
    frames = store.array()
    assert type(frames) is kind
    np.testing.assert_array_equal(frames, np.concatenate(SHARDS))
    np.testing.assert_array_equal(frames[[20, 3, 7]], np.concatenate(SHARDS)[[20, 3, 7]])


def test_a_full_disk_is_said_with_the_way_out(monkeypatch):
    class Full:
        def write(self, data):
            raise OSError(errno.ENOSPC, "No space left on device")

        def close(self):
            pass

    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **kwargs: Full())
    with pytest.raises(RecordingError, match=r"No space left.* set TMPDIR to a larger disk"):
        FrameStore(0).add(SHARDS[0])
