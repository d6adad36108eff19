"""A sample plug-in distribution: one method and one env."""
