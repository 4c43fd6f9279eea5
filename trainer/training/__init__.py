"""A run on one rank: its plan, data, step, loop, checkpoints' cadence and what it publishes."""
