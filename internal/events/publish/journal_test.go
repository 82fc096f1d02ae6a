package publish

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"gavel/internal/events"
	"gavel/internal/events/codec"
)

// Whatever byte the machine stopped at, the whole records before it are there, and the journal goes on.
func TestJournalCrash(t *testing.T) {
	var whole []byte
	var ends []int
	for i := range 5 {
		whole = appendRecord(whole, fmt.Sprintf("id-%d", i), bytes.Repeat([]byte{byte(i)}, 10*i))
		ends = append(ends, len(whole))
	}
	dir := t.TempDir()
	for cut := 0; cut <= len(whole); cut++ {
		path := filepath.Join(dir, fmt.Sprint(cut))
		if err := os.WriteFile(path, whole[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		j, dropped, err := openJournal(path, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		want, at := 0, 0
		for want < len(ends) && ends[want] <= cut {
			at = ends[want]
			want++
		}
		if j.count != want || int(dropped) != cut-at {
			t.Fatalf("cut at %d: %d records, %d bytes dropped; want %d, %d", cut, j.count, dropped, want, cut-at)
		}
		if err := j.append(appendRecord(nil, "next", []byte("payload")), 1); err != nil {
			t.Fatal(err)
		}
		if err := j.close(); err != nil {
			t.Fatal(err)
		}
		j, dropped, err = openJournal(path, 1<<20)
		if err != nil || dropped != 0 {
			t.Fatal(dropped, err)
		}
		recs, behind, err := j.peek(1 << 20)
		if err != nil || len(recs) != want+1 || recs[want].id != "next" || string(recs[want].payload) != "payload" {
			t.Fatalf("cut at %d: %d records, %v", cut, len(recs), err)
		}
		for i, r := range recs[:want] {
			if r.id != fmt.Sprintf("id-%d", i) || len(r.payload) != 10*i {
				t.Fatalf("record %d: %q, %d bytes", i, r.id, len(r.payload))
			}
		}
		if err := j.advance(behind, len(recs)); err != nil || !j.empty() || j.size != 0 || j.count != 0 {
			t.Fatalf("not empty after all was replayed: %v", err)
		}
		if err := j.close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestJournalDamage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "j")
	whole := appendRecord(appendRecord(nil, "a", []byte("one")), "b", []byte("two"))
	for i := range whole {
		b := bytes.Clone(whole)
		b[i] ^= 0x40
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		j, dropped, err := openJournal(path, 1<<20)
		first := len(whole)/2 > i
		if err != nil || j.count != 1 || (dropped == 0) != first {
			t.Fatalf("byte %d: %d records, %d dropped, %v", i, j.count, dropped, err)
		}
		recs, behind, err := j.peek(1 << 20)
		if first {
			if err == nil || len(recs) > 0 {
				t.Fatalf("byte %d: %d records, %v; want the damage", i, len(recs), err)
			}
			if n, err := j.skip(); err != nil || n != int64(len(whole)/2) {
				t.Fatalf("byte %d: skipped %d, %v", i, n, err)
			}
			recs, behind, err = j.peek(1 << 20)
		}
		want := map[bool]string{true: "b", false: "a"}[first]
		if err != nil || len(recs) != 1 || recs[0].id != want {
			t.Fatalf("byte %d: %d records, %v; want %s", i, len(recs), err, want)
		}
		if err := j.advance(behind, 1); err != nil || j.count != 0 || !j.empty() {
			t.Fatalf("byte %d: %v, %d records are left", i, err, j.count)
		}
		j.close()
	}
	// Length bytes that reach beyond the file look like a record that was cut off; all other damage is kept.
	kept, err := os.ReadFile(path + ".damaged")
	if err != nil || len(kept) < len(whole)/2*(len(whole)-4) {
		t.Errorf("%d damaged bytes are kept, %v", len(kept), err)
	}
}

// However much of it is damaged, the records behind are found.
func TestJournalSalvage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "j")
	random := rand.New(rand.NewPCG(1, 2))
	noise := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(random.UintN(256)) & byte(random.UintN(256)) & byte(random.UintN(256)) // many small lengths
		}
		return b
	}
	var text []byte
	want, damaged := 0, 0
	for _, n := range []int{1, 100, 0, salvageStep + 3, 7} {
		text = append(append(text, noise(n)...), appendRecord(nil, "id", bytes.Repeat([]byte{9}, 100))...)
		damaged += n
		want++
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	j, dropped, err := openJournal(path, 100<<20)
	if err != nil || dropped != 0 || j.count != want {
		t.Fatalf("%d records, %d dropped, %v; want %d", j.count, dropped, err, want)
	}
	defer j.close()
	found, skipped := 0, 0
	for !j.empty() {
		recs, behind, err := j.peek(1 << 20)
		if len(recs) == 0 {
			n, skipErr := j.skip()
			if err == nil || skipErr != nil {
				t.Fatal(err, skipErr)
			}
			skipped += int(n)
			continue
		}
		found += len(recs)
		if err := j.advance(behind, len(recs)); err != nil {
			t.Fatal(err)
		}
	}
	if kept, err := os.ReadFile(path + ".damaged"); found != want || skipped != damaged || len(kept) != damaged || err != nil {
		t.Errorf("%d records, %d bytes skipped, %d kept, %v; want %d, %d", found, skipped, len(kept), err, want, damaged)
	}
}

func TestJournalBounds(t *testing.T) {
	j, _, err := openJournal(filepath.Join(t.TempDir(), "j"), 100)
	if err != nil {
		t.Fatal(err)
	}
	defer j.close()
	rec := appendRecord(nil, "id", make([]byte, 40))
	if err := j.append(rec, 1); err != nil {
		t.Fatal(err)
	}
	if err := j.append(rec, 1); !errors.Is(err, errJournalFull) {
		t.Errorf("beyond the bound: %v", err)
	}
	recs, behind, err := j.peek(1)
	if err != nil || len(recs) != 1 {
		t.Fatal(len(recs), err)
	}
	if err := j.advance(behind, 1); err != nil {
		t.Fatal(err)
	}
	if err := j.append(rec, 1); err != nil {
		t.Errorf("after it was emptied: %v", err)
	}
}

func eventNo(i int) *events.Event {
	id := fmt.Sprintf("%06d", i)
	return &events.Event{ID: events.EventID(events.TypeBilling, id), Type: events.TypeBilling, Key: id, Campaign: "c", Price: 1}
}

func TestThin(t *testing.T) {
	b := &batch{b: make([]byte, batchHead)}
	for i := range 10 {
		e := eventNo(i)
		if i%3 != 0 {
			e.Type = events.TypeBid
		}
		b.b = codec.Append(b.b, e)
		b.spans = append(b.spans, span{len(b.b), e.Type.Important()})
	}
	if n := b.thin(); n != 6 {
		t.Errorf("dropped %d", n)
	}
	left, err := codec.Decode(b.payload())
	if err != nil || len(left) != 4 {
		t.Fatalf("%d events left, %v", len(left), err)
	}
	for i, e := range left {
		if e.ID != eventNo(3*i).ID {
			t.Errorf("event %d is %s", i, e.ID)
		}
	}
	if b.thin() != 0 {
		t.Error("thinned twice")
	}
}
