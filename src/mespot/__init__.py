"""mespot: spot macro- and micro-expressions in long face videos (AUW-GCN, ICME 2023)."""

__version__ = "0.1.0"
