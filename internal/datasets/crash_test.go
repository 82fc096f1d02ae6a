package datasets

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"
)

var errKilled = errors.New("killed")

// memoryDisk syncs nothing: a killed process loses nothing that the kernel has.
var memoryDisk = disk{
	step:   realDisk.step,
	sync:   func(*os.File) error { return nil },
	syncfs: func(*os.File) error { return nil },
	put:    os.Rename,
}

// A set is killed at random steps of its flushes and opened anew. The stream resumes at its position. In the end each row is
// on disk exactly once, with the right neighbours, whatever was interrupted.
func TestKilledAnywhere(t *testing.T) {
	for seed := range uint64(5) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { killedAnywhere(t, rand.New(rand.NewPCG(1, seed))) })
	}
}

func killedAnywhere(t *testing.T, random *rand.Rand) {
	root := t.TempDir()
	opts := Options{Fields: []string{"country"}, MaxJoinedRows: 50, Retention: time.Hour}
	var stream []Row // a row's position is its place
	for at := int64(0); len(stream) < 80; at += random.Int64N(3) {
		i := len(stream)
		stream = append(stream, Row{ID: strconv.Itoa(i), Time: at, Campaign: string(rune('a' + random.IntN(4))), Values: []string{"x"}, Label: i%5 == 0, Weight: 1})
	}
	kills := 0
	for next, done := 0, false; !done; {
		s, err := Open(root, "set", opts)
		if err != nil {
			t.Fatal(err)
		}
		_, position := s.Position()
		next, _ = strconv.Atoi(position)
		steps := random.IntN(60)
		s.disk = memoryDisk
		s.disk.step = func(string) error {
			if steps--; steps < 0 {
				return errKilled
			}
			return nil
		}
		done, err = feed(s, stream, next, random)
		if err != nil && !errors.Is(err, errKilled) {
			t.Fatal(err)
		}
		if err != nil {
			kills++
			done = false
		}
		s.Close()
	}
	if kills == 0 {
		t.Fatal("the set was never killed")
	}
	s, err := Open(root, "set", opts) // whatever the last kill left goes
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var got []Row
	for name, spans := range s.spans {
		paths, _ := filepath.Glob(filepath.Join(root, "set", name, "*.parquet"))
		if len(paths) != len(spans) {
			t.Errorf("campaign %s has the files %v, the set knows %v", name, paths, spans)
		}
		for _, at := range spans {
			rows, err := ReadFile(filepath.Join(root, "set", name, at.name()), opts.Fields)
			if err != nil {
				t.Fatal(err)
			}
			if int64(len(rows)) != at.rows || !slices.IsSortedFunc(rows, func(a, b Row) int { return int(a.Time - b.Time) }) {
				t.Errorf("%s has %d rows, the set says %d; or they are out of order", at.name(), len(rows), at.rows)
			}
			got = append(got, rows...)
		}
	}
	number := func(r Row) int { n, _ := strconv.Atoi(r.ID); return n }
	slices.SortFunc(got, func(a, b Row) int { return number(a) - number(b) })
	if len(got) != len(stream) {
		t.Fatalf("%d rows on disk, want %d", len(got), len(stream))
	}
	for i, r := range got {
		if number(r) != i || r.Campaign != stream[i].Campaign || r.Label != stream[i].Label {
			t.Fatalf("row %d is %+v, want %+v", i, r, stream[i])
		}
	}
}

// feed adds rows and flushes now and then. It reports whether all rows are on disk.
func feed(s *Set, stream []Row, next int, random *rand.Rand) (bool, error) {
	flush := func(until int64) error {
		first := slices.IndexFunc(stream, func(r Row) bool { return r.Time >= until })
		if first < 0 {
			first = len(stream)
		}
		return s.Flush(until, strconv.Itoa(first))
	}
	for _, r := range stream[next:] {
		if err := s.Add(r); err != nil {
			return false, err
		}
		if random.IntN(10) == 0 {
			if err := flush(r.Time); err != nil {
				return false, err
			}
		}
	}
	return true, flush(stream[len(stream)-1].Time + 1)
}

func TestFilesStayFewAndExpire(t *testing.T) {
	s, err := Open(t.TempDir(), "set", Options{Fields: []string{"country"}, Retention: 50 * time.Millisecond, MaxJoinedRows: 16})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	s.disk = memoryDisk
	for i := range int64(80) {
		if err := s.Add(Row{Time: i, Campaign: "a", Values: []string{"x"}}); err != nil {
			t.Fatal(err)
		}
		if err := s.Flush(i+1, ""); err != nil {
			t.Fatal(err)
		}
		if n := s.Index().Campaigns["a"].Files; n > 15 {
			t.Fatalf("%d files after %d flushes of one row each", n, i+1)
		}
	}
	c := s.Index().Campaigns["a"]
	if c.From < 30-16 || c.From > 30 || c.To != 80 || c.Rows != c.To-c.From {
		t.Errorf("%+v, want rows of the last 50 ms and the rest of one file", c)
	}
}
