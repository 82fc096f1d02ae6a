// Package tensorflow is the engine for SavedModels: it runs them in this process through TensorFlow's C API.
//
// A row is int32[RowLen], a result one probability: the schema has the input "rows" and the output "probability". A run
// is one cgo call. It reads the rows where callers wrote them, and allocates nothing in Go.
package tensorflow

/*
#cgo CFLAGS: -O2 -Wall -I${SRCDIR}/../../../build/tensorflow/include
#cgo LDFLAGS: -L${SRCDIR}/../../../build/tensorflow -l:libtensorflow_cc.so.2 -l:libtensorflow_framework.so.2
#cgo !dist LDFLAGS: -Wl,-rpath,${SRCDIR}/../../../build/tensorflow
#cgo dist LDFLAGS: -Wl,-rpath,$ORIGIN/../lib
#cgo noescape gavel_run
#cgo nocallback gavel_run
#include <stdlib.h>
#include "shim.h"
*/
import "C"

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"unsafe"

	"gavel/internal/engine"
)

// LibraryVersion is the version of the linked library, as "2.21.0".
func LibraryVersion() string { return C.GoString(C.TF_Version()) }

// Threading says which threads compute a run.
//
// TensorFlow makes its thread pools once a process, for the first session: a process uses one Threading throughout,
// and a comparison needs two processes.
type Threading string

const (
	// CallerThread computes a run in the thread that calls it: no hand-over between threads, no more cores used than
	// there are callers. It costs a fifth to a third of the default's CPU, and is what the bidder serves with.
	CallerThread Threading = "caller"
	// DefaultThreads is TensorFlow's default: pools of as many threads as there are cores. For comparison.
	DefaultThreads Threading = "default"
)

// Threadings are all there are.
var Threadings = []Threading{CallerThread, DefaultThreads}

// config is the serialised ConfigProto.
func (t Threading) config() ([]byte, error) {
	switch t {
	case CallerThread, "":
		return []byte{
			2 << 3, 1, // intra_op_parallelism_threads: 1
			5 << 3, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, // inter_op_parallelism_threads: -1
			9 << 3, 0, // use_per_session_threads: false; with it, the -1 is ignored
		}, nil
	case DefaultThreads:
		return nil, nil
	default:
		return nil, fmt.Errorf("tensorflow: threading %q is unknown; use %q or %q", string(t), CallerThread, DefaultThreads)
	}
}

// Counts of what lives outside Go's heap, for tests.
var liveSessions, liveBatches atomic.Int64

// Live says how many sessions and batches are not freed, and how many row memories, which TensorFlow may hold a little
// longer than a batch. All are 0 in a process that has closed what it opened.
func Live() (sessions, batches, memories int64) {
	return liveSessions.Load(), liveBatches.Load(), int64(C.gavel_live_rows())
}

// Options say how models are opened. The zero value is usable.
type Options struct {
	Threading Threading // default CallerThread; the same throughout a process
}

// Loader opens SavedModels: Version.Dir is the folder of saved_model.pb. It checks the signature and the shapes against
// the version, but no file and no probability.
func Loader(o Options) engine.Loader {
	return func(ctx context.Context, v engine.Version) (engine.Engine, error) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		s, err := open(v, o)
		if err != nil {
			return nil, err // not a nil *Session in the interface
		}
		return s, nil
	}
}

// Session is a SavedModel loaded into TensorFlow: an engine.Engine, engine.Validator and engine.Sampler.
//
// Memory: the session's lives in C and is freed when Close was called and the last batch is closed, whichever comes
// last. Nothing is left to finalizers: who opens closes, and Live tells who did not.
type Session struct {
	c         *C.gavel_session
	schema    engine.Schema
	rowLen    int
	tableRows int

	mu      sync.Mutex // guards batches and closed
	batches int        // open
	closed  bool
}

var (
	_ engine.Engine    = (*Session)(nil)
	_ engine.Validator = (*Session)(nil)
	_ engine.Sampler   = (*Session)(nil)
)

// open loads the SavedModel with the tag "serve".
func open(v engine.Version, o Options) (*Session, error) {
	config, err := o.Threading.config()
	if err != nil {
		return nil, err
	}
	if v.RowLen < 1 || v.TableRows < 1 {
		return nil, fmt.Errorf("%w: a SavedModel's rows are indices, but the version has row_len %d and table_rows %d",
			engine.ErrSignature, v.RowLen, v.TableRows)
	}
	status := C.TF_NewStatus()
	defer C.TF_DeleteStatus(status)
	meta := C.TF_NewBuffer()
	defer C.TF_DeleteBuffer(meta)
	cdir := C.CString(v.Dir)
	defer C.free(unsafe.Pointer(cdir))
	cconfig := C.CBytes(config)
	defer C.free(cconfig)
	c := C.gavel_load(cdir, cconfig, C.size_t(len(config)), meta, status)
	if c == nil {
		return nil, fmt.Errorf("%w: TensorFlow cannot load it: %s", engine.ErrLoad, message(status))
	}
	liveSessions.Add(1)
	s := &Session{c: c, rowLen: v.RowLen, tableRows: v.TableRows, schema: engine.Schema{
		Inputs:  []engine.Field{{Name: v.Signature.Input, Type: engine.Int32, Width: v.RowLen}},
		Outputs: []engine.Field{{Name: v.Signature.Output, Type: engine.Float32, Width: 1}},
	}}
	if err := s.bind(&v, C.GoBytes(meta.data, C.int(meta.length))); err != nil {
		return nil, errors.Join(fmt.Errorf("%w: %w", engine.ErrSignature, err), s.Close())
	}
	return s, nil
}

// bind checks the signature and resolves its tensors.
func (s *Session) bind(v *engine.Version, meta []byte) error {
	sig, err := checkSignature(meta, v)
	if err != nil {
		return err
	}
	inOp, inIndex, err := splitTensor(sig.InputTensor)
	if err != nil {
		return err
	}
	outOp, outIndex, err := splitTensor(sig.OutputTensor)
	if err != nil {
		return err
	}
	in, out := C.CString(inOp), C.CString(outOp)
	defer C.free(unsafe.Pointer(in))
	defer C.free(unsafe.Pointer(out))
	if lacks := C.gavel_bind(s.c, in, C.int(inIndex), out, C.int(outIndex), C.int64_t(s.rowLen)); lacks != nil {
		return fmt.Errorf("the signature names %q, which its graph lacks", C.GoString(lacks))
	}
	return nil
}

// splitTensor takes "op:index" apart.
func splitTensor(name string) (op string, index int, err error) {
	op, i, found := strings.Cut(name, ":")
	if index, err = strconv.Atoi(i); op == "" || !found || err != nil || index < 0 || index > 1<<16 {
		return "", 0, fmt.Errorf("tensor %q is not named op:index", name)
	}
	return op, index, nil
}

// Schema implements engine.Engine.
func (s *Session) Schema() *engine.Schema { return &s.schema }

// Validate implements engine.Validator: every index must lie within the table. One that does not would fail every row of
// its batch.
func (s *Session) Validate(inputs []engine.Column, i int) error {
	for k, x := range inputs[0].Int32[i*s.rowLen : (i+1)*s.rowLen] {
		if uint32(x) >= uint32(s.tableRows) { // a negative index is a large one too
			return fmt.Errorf("tensorflow: index %d of the row is %d, not in [0, %d)", k, x, s.tableRows)
		}
	}
	return nil
}

// Sample implements engine.Sampler with indices from all over the table.
func (s *Session) Sample(inputs []engine.Column, i int) {
	row := inputs[0].Int32[i*s.rowLen : (i+1)*s.rowLen]
	for k := range row {
		row[k] = rand.Int32N(int32(s.tableRows))
	}
}

// Close frees the session once its last batch is closed; until then they still run. Later calls do nothing. The error
// is TensorFlow's, and tells of batches that are still open, which is a leak if nobody is about to close them.
func (s *Session) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	if s.batches > 0 {
		return fmt.Errorf("tensorflow: %w: %d", errOpenBatches, s.batches)
	}
	err := s.free()
	trim()
	return err
}

var errOpenBatches = errors.New("session is freed later: batches are still open")

// free is called once, with mu held, when nothing can run any more.
func (s *Session) free() error {
	status := C.TF_NewStatus()
	defer C.TF_DeleteStatus(status)
	C.gavel_unload(s.c, status)
	s.c = nil
	liveSessions.Add(-1)
	if C.TF_GetCode(status) != C.TF_OK {
		return fmt.Errorf("tensorflow: cannot close the session: %s", message(status))
	}
	return nil
}

// trim gives the system back what a closed session leaves in the C allocator: graphs in thousands of pieces, among those
// of the version that serves. Without it the next graph is laid beside the holes, and each swap takes a little more
// memory. Threads that allocate in the same arena wait meanwhile.
func trim() { C.gavel_trim() }

func message(status *C.TF_Status) string { return C.GoString(C.TF_Message(status)) }
