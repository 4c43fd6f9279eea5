"""What each command prints for people. `--json` prints the same values as JSON; see docs/json.md."""
