"""A vendor on loopback that fails to order: what `engine bench upstream` and `bench failover` run.

`catalogue.FAULTS` is the table of what it can do, `provider.Provider` the server, `voices` the formats it
speaks (OpenAI's and Anthropic's chat), `exchange` one request with the connection it came on.
"""
