"""Figures, the report, the quality page and the viewer."""
