"""Many sessions of one learnt world at once, for agents and planners; the Gymnasium environments are shells over it."""
