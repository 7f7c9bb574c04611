"""Spec to plan: text in, diagnostics and a sealed plan out."""
