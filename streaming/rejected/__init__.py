"""The way back for rejected records: ``encore rejected list``, ``show`` and ``replay``."""
