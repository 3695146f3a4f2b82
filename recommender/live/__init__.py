"""`encore live`: lists that follow what listeners did within seconds, between two runs."""
