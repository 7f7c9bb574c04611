"""The sidecar: ASGI app, ingress, admin, listeners."""
