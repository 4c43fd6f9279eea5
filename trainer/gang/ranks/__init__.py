"""The rank processes of one pod: where each runs, with which devices and environment, and how they end."""
