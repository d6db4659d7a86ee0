"""Games and simulators that worlds are learnt from, each also a World of its own."""
