"""A single image: its formats, its decoding, and the files that hold one."""
