"""The state store for several hosts: Redis or Valkey, asked as seldom as can be.

`address` says where it is, `link` keeps the connections and knows when it is away, `scripts` are what runs in
it, `ledger` draws slices of what is counted and works on them without asking.
"""
