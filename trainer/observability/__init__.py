"""What a run says about itself: Prometheus metrics and log lines."""
