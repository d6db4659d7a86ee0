"""Isle: our own first-person simulator, a seeded island in batched torch that a neural world learns from."""
