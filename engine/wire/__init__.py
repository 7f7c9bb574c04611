"""Canonical to wire and back, sans-IO."""
