"""Learning a world: nouns (data, losses, schedules) and one linear script for each verb."""
