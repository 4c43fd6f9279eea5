"""The bytes of shards: which ranges hold which rows."""
