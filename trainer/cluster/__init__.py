"""What `trainer status`, `logs` and `wait` ask the Kubernetes API."""
