"""Budgets under concurrency: what processes spend together, and what a budgeted request costs in time."""
