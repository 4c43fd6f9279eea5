"""What a job leaves: predictions, errors, and a summary of both."""
