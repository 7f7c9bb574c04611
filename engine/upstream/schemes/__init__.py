"""Auth schemes beyond a key in its place: tokens that are fetched, and requests that are signed."""
