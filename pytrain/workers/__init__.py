"""Python processes that score what no plan can express: any fitted scikit-learn classifier.

    estimator file ──prepare──► prepared file ──load──► worker: batches of tasks in, probabilities out
    (.skops, .joblib)  preparer                 worker

`protocol` has the frames, `prepared` the prepared files, `preparer` and `worker` the two processes, `files` what writes
estimators beside their encoders. The parent is Go: internal/engine/workers. docs/workers.md describes both sides.
"""
