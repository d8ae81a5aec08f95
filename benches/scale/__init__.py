"""How cost grows with what is configured and what is sent: what `run` is made of."""
