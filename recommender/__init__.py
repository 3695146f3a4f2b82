"""From affinities to published recommendation lists: dataset, split, model, metrics, publishing."""
