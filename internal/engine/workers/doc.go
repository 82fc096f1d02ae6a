// Package workers scores rows in Python processes: any fitted scikit-learn classifier that no plan can express.
//
//	Prepare(file) ──► preparer process ──► prepared file ──► Classifier
//	Run(bag) ──► queue ──► handler ──frame──► worker process ──frame──► handler ──► results in the bag's place ──► done
//
// A Pool owns the processes: one worker a core, and a preparer that reads and checks estimators off the serving path. Each
// worker has a handler, the only goroutine that talks to it: it takes a batch of tasks from the queue, writes a frame, waits
// for the answer, and stores the results.
//
// A task is a classifier and a row. A Bag holds the tasks of one request and their results. Bags share the queue: each batch
// takes from all bags that wait, so that a small one never waits for all of a large one.
//
// Memory: a classifier has a home, the worker that loads it first. Another worker scores it where it has a copy too, or where
// the home is busy for long; then it loads one. Copies are bounded in bytes; the cache's policy (otter, W-TinyLFU) says
// which stay. A task whose classifier has no copy is Missed, and the classifier asks the policy for admission.
//
// Failures: a worker that dies, or does not answer in time, is restarted. Each of its tasks is tried once more, alone and on
// another worker. If that one dies too, the task's classifier is refused for a while, by name.
//
// Locks: Pool.mu guards classifiers, copies and the cache; a queue's lock guards waiting tasks; Bag.mu its results. They
// are taken in that order, and none is held while a pipe is read or written.
package workers
