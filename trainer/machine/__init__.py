"""This machine, or this container: its cores, memory, GPUs and processes."""
