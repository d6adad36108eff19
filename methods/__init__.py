"""Method plug-ins, one folder each."""
