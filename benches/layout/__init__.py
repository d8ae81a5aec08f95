"""The release, laid out after what it runs through."""
