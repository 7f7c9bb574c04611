"""The generator of `providers.d/facts`: model facts and prices out of two published packages.

A room of the workshop, as `docs` is: nothing that runs imports it. `python -m engine.facts` writes the
tables.
"""
