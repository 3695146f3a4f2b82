"""``encore rejected list``, ``show`` and ``replay``; what they do is in ``database.rejected``."""
