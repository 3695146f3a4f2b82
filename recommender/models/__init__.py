"""Models of what listeners want next, behind one contract (:mod:`recommender.models.contract`)."""
