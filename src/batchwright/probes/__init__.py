"""Looks whether something answers over the network, as checks ask for it. Nothing is changed."""
