package datasets

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// The disk is full at random steps of flushes: each flush that fails may be tried again, and in the end each row is on disk exactly
// once, without the set being opened anew. (A rename or removal needs no room, so those steps do not fail.)
func TestFullDisk(t *testing.T) {
	for seed := range uint64(5) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { fullDisk(t, rand.New(rand.NewPCG(2, seed))) })
	}
}

func fullDisk(t *testing.T, random *rand.Rand) {
	root := t.TempDir()
	var log bytes.Buffer
	opts := Options{Fields: []string{"country"}, Log: slog.New(slog.NewTextHandler(&log, nil))}
	s, err := Open(root, "set", opts)
	if err != nil {
		t.Fatal(err)
	}
	full := 0
	s.disk = memoryDisk
	s.disk.step = func(name string) error {
		if slices.Contains([]string{"write", "sync", "prepare", "sync joined"}, name) && random.IntN(4) == 0 {
			full++
			return syscall.ENOSPC
		}
		return nil
	}
	const rows = 60
	failed := 0
	for i := range int64(rows) {
		if err := s.Add(Row{ID: fmt.Sprint(i), Time: i, Campaign: string(rune('a' + i%3)), Values: []string{"x"}, Weight: 1}); err != nil {
			t.Fatal(err)
		}
		if i%4 != 3 {
			continue
		}
		for {
			err := s.Flush(i+1, fmt.Sprint(i+1))
			if err == nil {
				break
			}
			if failed++; !errors.Is(err, syscall.ENOSPC) || errors.Is(err, ErrBroken) {
				t.Fatal(err)
			}
			if _, position := s.Position(); position == fmt.Sprint(i+1) {
				t.Fatal("a flush that failed moved the position")
			}
		}
	}
	if full == 0 || failed == 0 || s.Pending() != 0 {
		t.Errorf("the disk was full %d times, %d flushes failed, %d rows wait", full, failed, s.Pending())
	}
	if full > failed && !strings.Contains(log.String(), "later flush tries again") {
		t.Errorf("files that were not joined are not reported: %s", log.String())
	}
	s.Close()
	if s, err = Open(root, "set", opts); err != nil { // what is there is what the index has
		t.Fatal(err)
	}
	defer s.Close()
	var ids []string
	for name, spans := range s.spans {
		for _, at := range spans {
			found, err := ReadFile(filepath.Join(root, "set", name, at.name()), opts.Fields)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range found {
				ids = append(ids, r.ID)
			}
		}
	}
	slices.Sort(ids)
	if len(ids) != rows || len(slices.Compact(ids)) != rows {
		t.Errorf("%d rows are on disk, want %d, each once", len(ids), rows)
	}
}
