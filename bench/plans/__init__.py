"""Plans against scikit-learn, onnxruntime and others: the experiments of the PRETZEL paper, `make bench-plans`.

data       the data sets, real ones or made ones
text       250 text pipelines that share 15 dictionaries
tabular    250 pipelines over tables
fleets     fitted pipelines and their plans, kept under build/plans/
sides      Gavel's driver and the peers as processes that measure what they are asked
converting fitted pipelines as ONNX
world      a bidder that serves the fleets; mlserver: MLServer with the fitted pipelines; infer: requests to both
pace       which part runs, and how much time is left
correct, memory, rows, conversion, trees, shared, off, caches, load, systems, isolation, served
           an experiment each
keys       the figures that are the last line of stdout, with their targets
page       docs/plans.md, with plots
"""
