"""Python workers against scikit-learn in a loop."""
