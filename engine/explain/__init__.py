"""The offline driver: the same kinds over scripted outcomes."""
