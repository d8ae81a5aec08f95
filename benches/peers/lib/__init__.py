"""The standing benchmark: what ``run`` is made of."""
