"""Sixteen failures of a vendor, and what a caller may expect: `engine bench failover`.

After FailoverBench (methodology v0.1). A real `engine serve` stands before the fault provider; `scenarios`
holds the sixteen and their judges, `client` what a caller sees, `workspace` the one set of defaults they all
run under, `bench` the run.
"""
