"""Fixed evaluation protocols."""
