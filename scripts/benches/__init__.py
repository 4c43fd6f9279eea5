"""Benchmarks: each is a module with `measure() -> dict`, one round's figures by key."""
