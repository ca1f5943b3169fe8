"""Token buckets in Redis: one quota shared by all workers."""
