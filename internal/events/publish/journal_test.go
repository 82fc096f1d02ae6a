package publish

import (
	"bytes"
	"errors"
	"fmt"
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
		if err != nil || j.count > 1 || dropped == 0 {
			t.Fatalf("byte %d: %d records, %d dropped, %v", i, j.count, dropped, err)
		}
		j.close()
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
