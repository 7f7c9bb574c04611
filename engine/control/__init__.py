"""The control plane: watch, compile, publish or refuse."""
