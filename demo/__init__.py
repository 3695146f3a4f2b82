"""The demo: the whole loop as processes of the command line, watched in a terminal."""
