"""Whether a pod can train, before it joins the next generation."""
