"""Trajectories, environments, collectors and buffers."""
