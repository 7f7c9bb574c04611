"""What runs: frozen, stdlib-only values, their canonical JSON, and the code made from their IR."""
