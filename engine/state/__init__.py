"""What outlives a request: reserves, counters, health. One interface, several stores."""
