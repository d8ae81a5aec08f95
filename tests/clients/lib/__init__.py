"""Checks of Tidegate by programs that were written by others."""
