"""Measuring edits: at equal change, by attributes, identity and distances between distributions."""
