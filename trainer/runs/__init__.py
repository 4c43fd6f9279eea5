"""A run's folder in object storage: its keys (`layout`), run.json and finished.json (`run_document`),
metrics.csv (`history`), who may write (`fence`), and the runs below a prefix (`find_runs`)."""
