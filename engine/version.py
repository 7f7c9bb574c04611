"""The version, in one place: the build reads it from here, and nothing imports metadata at start-up."""

VERSION = "0.1.0"
