package host

import "runtime"

// processors is read at the start, before anything changes GOMAXPROCS.
var processors = min(runtime.GOMAXPROCS(0), runtime.NumCPU())

// Processors is the number of processors that this process could use when it started: at most the machine's, and no more
// than GOMAXPROCS at the start, which follows a container's CPU quota. Later changes of GOMAXPROCS do not matter.
func Processors() int { return processors }
