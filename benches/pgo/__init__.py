"""The release, compiled once more with what is known of how it runs."""
