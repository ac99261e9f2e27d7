"""The commands, their settings and what a run's folder keeps."""
