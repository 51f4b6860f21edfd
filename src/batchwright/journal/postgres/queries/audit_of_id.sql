SELECT number FROM audit WHERE id = :id
