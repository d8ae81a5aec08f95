"""The comparison with other proxies: what `run` is made of."""
