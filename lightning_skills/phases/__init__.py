"""Phases: LightningModules that more than one method uses."""
