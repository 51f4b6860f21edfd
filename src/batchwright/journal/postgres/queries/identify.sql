SELECT to_regclass(:store) IS NOT NULL, to_regnamespace(:schema) IS NOT NULL
