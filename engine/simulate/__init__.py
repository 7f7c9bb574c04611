"""The deterministic simulator: the real engine in a world that follows from a seed.

Everything between a client's bytes and a vendor's bytes is what production runs: the ASGI app, the executor,
kinds, policies, state, upstreams and wire formats. What surrounds it is made up: a loop on which time passes
only when nobody has anything to do (`loop`), vendors in memory that fail by schedule (`vendor`), clients that
leave, dawdle and set deadlines (`client`), plans that are replaced meanwhile (`world`). One seed decides all
of it, so a run that breaks an invariant (`invariants`) can be run again to the same log.
"""
