"""What was used: every finished request, in a file of this host, summed by the hour; read and exported."""
