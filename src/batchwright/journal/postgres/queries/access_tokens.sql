SELECT body FROM access_token ORDER BY id
