"""Stand-ins for the clouds' own services, faithful enough to rehearse on and to prove the adapters with."""
