"""Neural worlds: learning them from recordings and running them. Lives only in the sidecar and in training."""
