SELECT version FROM store
