"""Expressions and templates: Jinja2's parser, our types, our IR."""
