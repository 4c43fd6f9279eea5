"""`trainer status`, `logs` and `wait`: requests to the Kubernetes API and their output."""
