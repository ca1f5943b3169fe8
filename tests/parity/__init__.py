"""docker-compose.yml, run as local processes: no container engine, the same commands and environment."""
