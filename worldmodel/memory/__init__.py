"""What a world remembers, at a constant cost for each frame."""
