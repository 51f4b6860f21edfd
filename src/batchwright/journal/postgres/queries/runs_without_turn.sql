-- The pattern fits nothing but the field itself: quotes within a JSON string are escaped. It reads no JSON, as a record
-- may be damaged.
SELECT run, last, head, seal, summary FROM run WHERE encode(summary, 'escape') !~ '"turn":[1-9]'
