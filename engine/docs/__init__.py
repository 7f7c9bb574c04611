"""Generators for schemas and reference pages."""
