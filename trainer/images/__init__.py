"""One image: its formats, its decoding, and which file is one."""
