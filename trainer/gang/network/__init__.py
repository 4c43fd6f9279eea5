"""Signed requests over HTTP, bounded in size, number and time."""
