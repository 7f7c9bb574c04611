"""Client keys: how one looks, how it is made, and what of it is kept."""
