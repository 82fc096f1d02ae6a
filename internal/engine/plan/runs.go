package plan

// #include "runtime.h"
import "C"

import (
	"errors"
	"sync"
)

// runPool keeps the scratch memory of runs between them: as much of it as runs were under way at once, each as large as the
// largest needed. All plans share it. It is freed when no plan is loaded.
type runPool struct {
	mu    sync.Mutex // guards all below
	idle  []*C.gv_run
	plans int
}

var errNoMemory = errors.New("plan: out of memory")

func (p *runPool) take() (*C.gv_run, error) {
	p.mu.Lock()
	if n := len(p.idle); n > 0 {
		run := p.idle[n-1] // used last: its memory is in the caches
		p.idle = p.idle[:n-1]
		p.mu.Unlock()
		return run, nil
	}
	p.mu.Unlock()
	run := C.gv_run_new()
	if run == nil {
		return nil, errNoMemory
	}
	return run, nil
}

func (p *runPool) give(run *C.gv_run) {
	p.mu.Lock()
	p.idle = append(p.idle, run)
	p.mu.Unlock()
}

// added counts a plan that may run.
func (p *runPool) added() {
	p.mu.Lock()
	p.plans++
	p.mu.Unlock()
}

// removed ends one added. No run of the plan is under way.
func (p *runPool) removed() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.plans--; p.plans > 0 {
		return
	}
	for _, run := range p.idle {
		C.gv_run_free(run)
	}
	p.idle = nil
}
