"""The embedded stack: broker, simulator, workers, scheduler and Flower as child processes."""
