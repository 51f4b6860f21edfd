SELECT request.number, request.body, answer.body
FROM audit AS request LEFT JOIN audit AS answer ON answer.answers = request.id
WHERE request.answers IS NULL AND request.number < :before
ORDER BY request.number DESC LIMIT :most
