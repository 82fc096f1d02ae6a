"""pytrain learns click and conversion probabilities from a stream of examples.

It reads training frames on stdin (or a file), predicts each example before it learns from it, and exports model
versions that the bidder serves. `python -m pytrain --help` lists the commands; `docs/contracts.md` defines the wire
format and a version's files.

    errors        the tree of exceptions and exit statuses
    recipe        one YAML file a model: features, architecture, optimizer, cadence
    frames        training frames in, answers out; the reader thread
    answers       stdout, kept for the protocol
    metrics       log loss, normalised entropy, AUC, calibration; windows of progressive validation
    checkpoint    weights, slots, counters and stream position as one atomic file
    loop          the training loop, without TensorFlow
    models        LogReg, FM, DeepFM (Keras)
    lazy_adam     Adam that reads and writes only the table rows of a batch
    ftrl          FTRL-proximal, for logistic regressions; also only the rows of a batch
    learner       a model with its optimizer: learn, predict, state
    export        model versions: serving graph, manifest, golden rows
    store         the model store: publish atomically, pointer
    manifest      a version's manifest; golden rows
    scoring       read, verify and run a version
    files         Parquet and CSV in, through the Go encoder where values are raw
    report        evaluations as tables and a plot
    skops_file    what a .skops file holds, if all of its types are trusted
    sklearn_port  a fitted scikit-learn pipeline into a recipe and a version
    plan          models as data: a graph of operators, and its parameters
    build         the version and commit that --version prints
    cli, cli_*    the command line
"""
