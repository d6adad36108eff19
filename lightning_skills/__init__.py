"""Skill-based and meta reinforcement learning methods that share environments, data and running."""

__version__ = "0.1.0"
