UPDATE audit_head SET number = :number, chain = :chain
