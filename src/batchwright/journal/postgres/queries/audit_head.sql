SELECT number, chain FROM audit_head
