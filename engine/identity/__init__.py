"""Who a client is by what others say: tokens of identity providers, certificates of an authority."""
