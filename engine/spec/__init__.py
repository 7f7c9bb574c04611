"""What users write: pydantic models, strict and frozen, of every file of a workspace."""
