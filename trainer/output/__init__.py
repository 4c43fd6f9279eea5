"""Output for people: aligned tables, sizes and spans in their units, progress on a terminal."""
