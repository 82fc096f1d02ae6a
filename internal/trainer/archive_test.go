package trainer

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"gavel/internal/events"
	"gavel/internal/events/join"
	"gavel/internal/stream"
)

// TestArchiveThatCannotBeWritten removes the directory. Each file's worth of examples causes one attempt; four files' worth
// are dropped together. When the directory is back, later examples are written.
func TestArchiveThatCannotBeWritten(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "m")
	const maxRows = 10
	a, err := openArchive(dir, maxRows, 5, stream.Cursor{}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	high := uint64(0)
	add := func(n int) (faults []error) {
		t.Helper()
		for range n {
			high++
			fresh, err := a.add(&join.Example{Bid: &events.BidContext{}, Pos: join.Position{High: stream.CursorAt(high)}}, []int32{1, 2}, 0.5, 1)
			if !fresh {
				t.Fatalf("example %d is taken for an archived one", high)
			}
			if err != nil {
				faults = append(faults, err)
			}
		}
		return faults
	}
	faults := add(4*maxRows + 5)
	if len(faults) != 4 {
		t.Fatalf("%d tries to write, want 4: one a file's worth", len(faults))
	}
	for i, fault := range faults {
		if lost := strings.Contains(fault.Error(), "40 examples are not archived"); lost != (i == 3) {
			t.Errorf("try %d: %v", i+1, fault)
		}
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if faults := add(5); len(faults) > 0 {
		t.Fatal(faults)
	}
	names, err := a.files()
	if err != nil || len(names) != 1 {
		t.Fatalf("files %v, error %v; want one file", names, err)
	}
	rows, err := parquet.ReadFile[ArchivedExample](filepath.Join(dir, names[0]))
	if err != nil || len(rows) != maxRows {
		t.Fatalf("%d rows, error %v; want the %d examples since", len(rows), err, maxRows)
	}
}
