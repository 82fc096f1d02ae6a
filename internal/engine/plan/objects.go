package plan

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"

	"gavel/internal/engine"
)

// The layout of an object's file.
const (
	objectMagic    = "GAVELOBJ"
	objectHeader   = 64
	objectMaxBytes = 1 << 31
)

// Objects are the parameters that the plans of this process use: files of one directory, each mapped once, however many versions
// and models use it. A mapping is for reading and shared, so the memory is one with every other process that maps the file.
//
//	acquire ──first user──► open, map, check header and sha256 ──► users read ──► release ──last user──► unmap
//
// A file must not change while it is mapped: what is written to it would be read, unchecked. Whoever writes objects renames
// them into place, and never replaces one.
type Objects struct {
	dir string

	mu   sync.Mutex // guards open and what it holds
	open map[string]*mapping

	stages stageStore // of all plans
	runs   runPool    // scratch memory for the runs of all plans
	caches caches
}

// mapping is a mapped file and who uses it.
type mapping struct {
	ready  chan struct{} // closed when object or err is set
	object *Object
	err    error
	file   []byte
	users  map[string]int // how often each has acquired it
}

// NewObjects reads the objects of a directory; for the directory store, <store>/objects. It need not exist before a plan is
// loaded.
func NewObjects(dir string) *Objects { return &Objects{dir: dir, open: map[string]*mapping{}} }

// acquire opens an object for a user, such as "ctr version 3", until release.
func (s *Objects) acquire(sum, user string) (*Object, error) {
	s.mu.Lock()
	m, ok := s.open[sum]
	if !ok {
		m = &mapping{ready: make(chan struct{}), users: map[string]int{}}
		s.open[sum] = m
	}
	m.users[user]++
	s.mu.Unlock()
	if !ok {
		m.file, m.err = mapFile(filepath.Join(s.dir, sum))
		if m.err == nil {
			m.object, m.err = parseObject(m.file, sum)
		}
		close(m.ready)
	}
	<-m.ready
	if m.err != nil {
		s.release(sum, user)
		return nil, fmt.Errorf("plan: %w: %s in %s: %w; port the model again, which replaces a damaged object, "+
			"or move a sound copy of the object into place", engine.ErrObject, sum, s.dir, m.err)
	}
	return m.object, nil
}

// listed checks that the manifest lists every object that the plan names, so that none is removed before the version is. A
// manifest without a list, nil, keeps all objects.
func (p *document) listed(objects map[string]int64) error {
	if objects == nil {
		return nil
	}
	for _, n := range p.nodes {
		for name, sum := range n.obj {
			if _, ok := objects[sum]; !ok {
				return fmt.Errorf("plan: %v: object %q is %s, which the manifest does not list; port the model again", n, name, sum)
			}
		}
	}
	return nil
}

// release ends one acquire. Nothing may read the object's values after the last.
func (s *Objects) release(sum, user string) {
	s.mu.Lock()
	m := s.open[sum]
	if m.users[user]--; m.users[user] == 0 {
		delete(m.users, user)
	}
	last := len(m.users) == 0
	if last {
		delete(s.open, sum)
	}
	s.mu.Unlock()
	if last && m.file != nil {
		_ = syscall.Munmap(m.file) // it fails only if the slice is no mapping
	}
}

// mapFile maps a file for reading. What it holds is not checked.
func mapFile(name string) ([]byte, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if size := info.Size(); !info.Mode().IsRegular() || size < objectHeader || size > objectMaxBytes {
		return nil, fmt.Errorf("%s is not a regular file of %d to %d bytes", name, objectHeader, objectMaxBytes)
	}
	file, err := syscall.Mmap(int(f.Fd()), 0, int(info.Size()), syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("cannot map %s: %w", name, err)
	}
	return file, nil
}

// parseObject checks a file of at least objectHeader bytes: its header, its size and its sum. Summing it also brings it into
// memory.
func parseObject(file []byte, sum string) (*Object, error) {
	word := func(at int) uint32 { return binary.LittleEndian.Uint32(file[at:]) }
	of, count := ObjectType(word(12)), word(16)
	if string(file[:8]) != objectMagic || word(8) != 1 || of < Uint8 || of > Float64 || count < 1 || count > 4 ||
		word(20) != 0 || binary.LittleEndian.Uint64(file[56:]) != 0 {
		return nil, fmt.Errorf("its header is not that of an object of version 1: % x", file[:objectHeader])
	}
	o := &Object{sum: sum, of: of, data: file[objectHeader:]}
	size := uint64(objectTypes[of].size)
	for i := range uint32(4) {
		d := binary.LittleEndian.Uint64(file[24+8*i:])
		switch {
		case i >= count && d != 1:
			return nil, fmt.Errorf("dimension %d is %d; it has %d dimensions, and the others must be 1", i, d, count)
		case d > math.MaxInt32 || size*d > objectMaxBytes:
			return nil, fmt.Errorf("dimension %d is %d, which is too large", i, d)
		case i < count:
			o.dims = append(o.dims, int(d))
			size *= d
		}
	}
	if size != uint64(len(o.data)) {
		return nil, fmt.Errorf("it has %d bytes of values; %v has %d", len(o.data), o, size)
	}
	if got := sha256.Sum256(file); hex.EncodeToString(got[:]) != sum {
		return nil, fmt.Errorf("its sha256 is %x", got)
	}
	return o, nil
}

// ObjectUse is an object that is mapped, and who uses it.
type ObjectUse struct {
	Sum   string   // sha256, in hex
	Kind  string   // as "float64[10, 300]"
	Bytes int64    // of the file
	Users []string // versions, as "ctr version 3", ascending
}

// Uses lists the objects that are mapped, the largest first.
func (s *Objects) Uses() []ObjectUse {
	s.mu.Lock()
	defer s.mu.Unlock()
	uses := []ObjectUse{}
	for sum, m := range s.open {
		select {
		case <-m.ready:
		default:
			continue
		}
		if m.object == nil {
			continue
		}
		u := ObjectUse{Sum: sum, Kind: m.object.String(), Bytes: int64(len(m.file))}
		for user := range m.users {
			u.Users = append(u.Users, user)
		}
		slices.Sort(u.Users)
		uses = append(uses, u)
	}
	slices.SortFunc(uses, func(a, b ObjectUse) int { return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(a.Sum, b.Sum)) })
	return uses
}

// Memory is what the objects of a user take: bytes that it alone uses, and bytes that it shares with others of the process.
func (s *Objects) Memory(user string) (own, shared int64) {
	for _, u := range s.Uses() {
		switch {
		case !slices.Contains(u.Users, user):
		case len(u.Users) == 1:
			own += u.Bytes
		default:
			shared += u.Bytes
		}
	}
	return own, shared
}
