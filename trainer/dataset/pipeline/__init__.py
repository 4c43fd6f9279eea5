"""From rows to batches of tensors."""
