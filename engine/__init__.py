"""LLM Runner Router: a declarative routing engine for language models."""
