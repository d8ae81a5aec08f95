"""Mixed traffic for a long time, with everything around it changing."""
