"""`engine bench reload`: reloads under load, and what clients and the event loop notice of them."""
