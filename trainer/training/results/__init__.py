"""What people take from a run: its weights, its model and its card."""
