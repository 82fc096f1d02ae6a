package models

import (
	"context"
	"time"
)

// FreshObject is how long an object stays in a store after it was written, or found there by whoever needs it, although no
// version names it. It bounds the time from writing a version's first object to Put.
const FreshObject = time.Hour

// Objects is implemented by a Store whose versions share objects: files named by the sha256 of their content, which the
// `objects` of manifests name. An object stays as long as a version names it. Remove removes the objects that only the
// removed versions named.
//
// An object's file is never written to: it is written aside, renamed into place, and unlinked. Processes that have mapped it
// keep what they have mapped.
type Objects interface {
	// ListObjects lists all objects, ascending by name, and which versions name each. Objects that are named and not there
	// are listed too. It does not read their content; CheckObject does.
	ListObjects(ctx context.Context) ([]Object, error)
	// CheckObject reads an object, and returns an error unless its content is what its name says.
	CheckObject(ctx context.Context, sum string) error
	// Sweep removes the objects that no version names and that are not fresh, and what killed writers and removers left. While the
	// objects of any version are not known, because its manifest cannot be read, Sweep removes nothing and returns an error.
	Sweep(ctx context.Context) (Swept, error)
}

// Object is an object of a store.
type Object struct {
	Sum   string
	Bytes int64    // of the file; -1: it is missing
	Named []string // versions that name it, as "ctr version 3"; nil: none
	Fresh bool     // written or needed less than FreshObject ago
}

// Swept is what a sweep did.
type Swept struct {
	Removed int   // objects
	Bytes   int64 // of these
	Fresh   int   // objects that no version names and that are still fresh
	Strays  int   // unfinished objects, and rests of versions, that were removed
}
