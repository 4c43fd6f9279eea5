"""What a person sees: aligned tables, sizes and spans in their units, progress on a terminal."""
