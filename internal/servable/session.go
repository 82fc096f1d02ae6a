package servable

/*
#cgo CFLAGS: -O2 -Wall -I${SRCDIR}/../../build/tensorflow/include
#cgo LDFLAGS: -L${SRCDIR}/../../build/tensorflow -l:libtensorflow_cc.so.2 -l:libtensorflow_framework.so.2
#cgo LDFLAGS: -Wl,-rpath,${SRCDIR}/../../build/tensorflow
#cgo noescape gavel_run
#cgo nocallback gavel_run
#include <stdlib.h>
#include "shim.h"
*/
import "C"

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"unsafe"

	"gavel/internal/batcher"
	"gavel/internal/modelstore"
)

// TensorFlowVersion is the version of the linked library, as "2.21.0".
func TensorFlowVersion() string { return C.GoString(C.TF_Version()) }

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
		return nil, fmt.Errorf("servable: threading %q is unknown; use %q or %q", string(t), CallerThread, DefaultThreads)
	}
}

// Counts of what lives outside Go's heap, for tests and metrics.
var liveSessions, liveBatches atomic.Int64

// Live says how many sessions and batches are not freed, and how many row memories, which TensorFlow may hold a little
// longer than a batch. All are 0 in a process that has closed what it opened.
func Live() (sessions, batches, memories int64) {
	return liveSessions.Load(), liveBatches.Load(), int64(C.gavel_live_rows())
}

// Session is a SavedModel loaded into TensorFlow: the engine that scores rows. It implements batcher.Engine and
// batcher.Validator. Its methods are safe for concurrent use; batches of one session run side by side.
//
// Memory: the session's lives in C and is freed when Close was called and the last batch is closed, whichever comes
// last. Nothing is left to finalizers: who opens closes, and Live tells who did not.
type Session struct {
	c         *C.gavel_session
	rowLen    int
	tableRows int
	signature Signature

	mu      sync.Mutex // guards batches and closed
	batches int        // open
	closed  bool
}

var (
	_ batcher.Engine    = (*Session)(nil)
	_ batcher.Validator = (*Session)(nil)
)

// OpenSession loads the SavedModel at dir with the tag "serve" and checks its signature and shapes against the
// manifest m. It does not check files or probabilities; Load does. A failure that is the model's fault is a *Refusal.
func OpenSession(dir string, m *modelstore.Manifest, threading Threading) (*Session, error) {
	config, err := threading.config()
	if err != nil {
		return nil, err
	}
	status := C.TF_NewStatus()
	defer C.TF_DeleteStatus(status)
	meta := C.TF_NewBuffer()
	defer C.TF_DeleteBuffer(meta)
	cdir := C.CString(dir)
	defer C.free(unsafe.Pointer(cdir))
	cconfig := C.CBytes(config)
	defer C.free(cconfig)
	c := C.gavel_load(cdir, cconfig, C.size_t(len(config)), meta, status)
	if c == nil {
		return nil, refuse(ReasonLoad, fmt.Errorf("TensorFlow cannot load it: %s", message(status)))
	}
	liveSessions.Add(1)
	s := &Session{c: c, rowLen: m.RowLen, tableRows: m.TableRows}
	if err := s.bind(m, C.GoBytes(meta.data, C.int(meta.length))); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// bind checks the signature and resolves its tensors.
func (s *Session) bind(m *modelstore.Manifest, meta []byte) error {
	sig, err := checkSignature(meta, m)
	if err != nil {
		return refuse(ReasonSignature, err)
	}
	s.signature = sig
	inOp, inIndex, err := splitTensor(sig.InputTensor)
	if err != nil {
		return refuse(ReasonSignature, err)
	}
	outOp, outIndex, err := splitTensor(sig.OutputTensor)
	if err != nil {
		return refuse(ReasonSignature, err)
	}
	in, out := C.CString(inOp), C.CString(outOp)
	defer C.free(unsafe.Pointer(in))
	defer C.free(unsafe.Pointer(out))
	if lacks := C.gavel_bind(s.c, in, C.int(inIndex), out, C.int(outIndex), C.int64_t(s.rowLen)); lacks != nil {
		return refuse(ReasonSignature, fmt.Errorf("the signature names %q, which its graph lacks", C.GoString(lacks)))
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

// RowLen is F: how many int32 a row holds.
func (s *Session) RowLen() int { return s.rowLen }

// TableRows bounds the indices in a row: each must be in [0, TableRows).
func (s *Session) TableRows() int { return s.tableRows }

// Signature is what the SavedModel declares.
func (s *Session) Signature() Signature { return s.signature }

// Validate returns an error unless row has RowLen indices, all within the table. One that is not would fail every
// row of its batch.
func (s *Session) Validate(row []int32) error {
	if len(row) != s.rowLen {
		return fmt.Errorf("servable: row has %d indices, the model takes %d", len(row), s.rowLen)
	}
	for i, x := range row {
		if uint32(x) >= uint32(s.tableRows) { // a negative index is a large one too
			return fmt.Errorf("servable: index %d of the row is %d, not in [0, %d)", i, x, s.tableRows)
		}
	}
	return nil
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
		return fmt.Errorf("servable: %w: %d", errOpenBatches, s.batches)
	}
	return s.free()
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
		return fmt.Errorf("servable: TensorFlow cannot close the session: %s", message(status))
	}
	return nil
}

// trim gives the system back what a closed session leaves in the C allocator: graphs in thousands of pieces, among those of the
// version that serves. Else the next one's are laid beside the holes, and each swap takes a little more memory. Threads that
// allocate in the same part of it wait meanwhile.
func trim() { C.gavel_trim() }

func message(status *C.TF_Status) string { return C.GoString(C.TF_Message(status)) }
