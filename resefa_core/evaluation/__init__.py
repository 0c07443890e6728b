"""Measuring edits: how far to move for an equal change (`equal_change`), which attributes change
(`attributes`), whether a face stays the same person (`identity`), how sets of images differ (`distances`);
and studies that compare methods by these (`config`, `study`)."""
