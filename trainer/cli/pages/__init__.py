"""What each command prints for a person. `--json` prints the same values as JSON; see docs/json.md."""
