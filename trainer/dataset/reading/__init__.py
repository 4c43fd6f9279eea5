"""Fetching bytes of shards: ahead, into memory that is used again, of the objects that were indexed."""
