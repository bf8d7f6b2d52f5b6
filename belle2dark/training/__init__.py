"""Training of the shipped networks: one module per search (``make networks``)."""
