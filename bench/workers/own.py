"""A LogisticRegression that workers score by its own predict_proba, as they do any estimator."""

from sklearn.linear_model import LogisticRegression


class Own(LogisticRegression):  # type: ignore[misc] # scikit-learn has no types
    """Equal to its base but for its type, which is none of those that workers score together."""
