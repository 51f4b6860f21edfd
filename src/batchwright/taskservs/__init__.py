"""Task services: what can be installed on servers, in which order, and who installs it."""
