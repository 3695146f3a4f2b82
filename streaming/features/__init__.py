"""Pure transforms from accepted events to the deltas of the feature tables."""
