package host

import "runtime"

// processors is found before anybody changes GOMAXPROCS.
var processors = min(runtime.GOMAXPROCS(0), runtime.NumCPU())

// Processors is how many of the machine's there were for this process when it started: GOMAXPROCS may be more, a
// container's quota less.
func Processors() int { return processors }
