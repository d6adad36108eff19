"""Environment plug-ins, one folder each."""
