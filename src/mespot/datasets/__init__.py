"""Datasets as they are distributed: folders, annotation files, feature files."""
