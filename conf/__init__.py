"""Configuration files that no plug-in owns."""
