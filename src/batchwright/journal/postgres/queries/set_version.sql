UPDATE store SET version = :version
