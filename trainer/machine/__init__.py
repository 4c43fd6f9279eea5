"""This machine or container: its cores, memory, GPUs and processes."""
