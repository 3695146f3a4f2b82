"""`encore doctor`: whether everything is there, and one marked event followed through every hop."""
