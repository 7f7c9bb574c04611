"""`engine bench outage`: what failures cost in attempts, on a virtual clock, through the real executor."""
