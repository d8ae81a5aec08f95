"""What the commands under `benches/` share."""
