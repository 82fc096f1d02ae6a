package onnx

/*
#include <stdlib.h>
#include "shim.h"
*/
import "C"

import (
	"fmt"
	"sync"
	"unsafe"

	"gavel/internal/engine"
)

// DefaultLibrary is the name by which the dynamic linker finds onnxruntime: beside a distribution's binaries in lib/, in a
// checkout's build/onnxruntime, or where the system has its libraries.
const DefaultLibrary = "libonnxruntime.so.1"

// libraries are those that are open, by name. They are never closed: threads of theirs may outlive every model.
var libraries struct {
	sync.Mutex
	open map[string]*C.onnx_library
}

// openLibrary loads onnxruntime at the first use of it. If that fails, the next use tries again.
func openLibrary(name string) (*C.onnx_library, error) {
	libraries.Lock()
	defer libraries.Unlock()
	if l := libraries.open[name]; l != nil {
		return l, nil
	}
	cname := C.CString(name)
	defer C.free(unsafe.Pointer(cname))
	var message *C.char
	l := C.onnx_open_library(cname, &message)
	if l == nil {
		defer C.free(unsafe.Pointer(message))
		return nil, fmt.Errorf("%w %q: onnxruntime cannot be loaded: %s; install onnxruntime 1.%d or later, and put its %s where the linker "+
			"finds it: in lib/ of a distribution, in a directory of LD_LIBRARY_PATH, or by make setup in a checkout",
			engine.ErrFormat, Format, C.GoString(message), int(C.ORT_API_VERSION_USED), DefaultLibrary)
	}
	if libraries.open == nil {
		libraries.open = map[string]*C.onnx_library{}
	}
	libraries.open[name] = l
	return l, nil
}

// LibraryVersion is the version of onnxruntime, as "1.31.1". It loads the library.
func LibraryVersion() (string, error) {
	l, err := openLibrary(DefaultLibrary)
	if err != nil {
		return "", err
	}
	return C.GoString(l.version), nil
}
