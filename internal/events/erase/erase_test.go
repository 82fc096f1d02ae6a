package erase_test

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gavel/internal/events"
	"gavel/internal/events/codec"
	"gavel/internal/events/erase"
	"gavel/internal/events/eventstest"
	"gavel/internal/stream"
	"gavel/internal/stream/nats"
)

// holding returns the files under dir that hold a text, each once for every time.
func holding(t *testing.T, dir, text string) (files []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		for range bytes.Count(data, []byte(text)) {
			files = append(files, filepath.Base(path))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// One user is erased from each byte of a real stream. Every event is still there, with its id; other users keep theirs.
func TestUserIsErased(t *testing.T) {
	dir := t.TempDir()
	server, err := nats.StartEmbedded(nats.EmbedOptions{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	s, err := nats.Connect(nats.Options{Embedded: server})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := s.WaitUp(ctx); err != nil {
		t.Fatal(err)
	}
	const messages, each = 20, 6
	ids := map[string]int{}
	for m := range messages {
		var all []events.Event
		for i := range each {
			n := m*each + i
			req := eventstest.Request()
			req.User.ID, req.User.BuyerUID, req.Device.IP = fmt.Sprintf("person-%d.", n%10), fmt.Sprintf("buyer-%d.", n%10), fmt.Sprintf("198.51.100.%d", 100+n%10)
			bid := eventstest.Bid(req)
			bid.ID = fmt.Sprint("bid", n)
			e := events.NewBid(req, bid, time.Now())
			all = append(all, e, events.Event{ID: events.EventID(events.TypeBilling, e.Key), Type: events.TypeBilling, Key: e.Key, Time: e.Time, Campaign: "c", Price: 7})
		}
		for _, e := range all {
			ids[e.ID]++
		}
		if _, err := s.Publish(ctx, []stream.Message{{ID: fmt.Sprint("m", m), Source: "b", Data: codec.Encode(all)}}); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(holding(t, dir, "person-3.")); n != messages*each/10 {
		t.Fatalf("the search finds %d, want %d", n, messages*each/10)
	}

	for _, id := range []string{"person-3.", "buyer-4.", "198.51.100.105"} {
		report, err := erase.User(ctx, s, []string{id, "", "nobody"})
		if err != nil || report.Bids != messages*each/10 || report.Messages == 0 || report.Messages > report.Bids {
			t.Errorf("%s: %+v, %v", id, report, err)
		}
		if report, err := erase.User(ctx, s, []string{id}); err != nil || report.Bids != 0 || report.Messages != 0 {
			t.Errorf("%s again: %+v, %v", id, report, err)
		}
	}
	if report, err := erase.User(ctx, s, []string{"person-"}); err != nil || report.Bids != 0 {
		t.Errorf("a part of an identifier: %+v, %v", report, err)
	}
	if _, err := erase.User(ctx, s, []string{""}); err == nil {
		t.Error("nobody was erased without a complaint")
	}

	// A later build's events would lose their bodies: they stay as they are.
	req := eventstest.Request()
	req.User.ID = "person-later."
	later := events.NewBid(req, eventstest.Bid(req), time.Now())
	later.Version = events.Schema + 1
	if _, err := s.Publish(ctx, []stream.Message{{ID: "later", Source: "b", Data: codec.Encode([]events.Event{later})}}); err != nil {
		t.Fatal(err)
	}
	if report, err := erase.User(ctx, s, []string{"person-later."}); err == nil || !strings.Contains(err.Error(), "update it") || report.Messages != 0 {
		t.Errorf("a later schema: %+v, %v", report, err)
	}

	reader, err := s.Open(ctx, stream.Cursor{})
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	for len(ids) > 0 {
		entry, err := reader.Next(ctx)
		if err != nil {
			t.Fatalf("%v; %d events are missing", err, len(ids))
		}
		m := codec.Read(entry)
		if m.Damaged != nil || m.Source != "b" {
			t.Fatalf("damaged: %v, source %q", m.Damaged, m.Source)
		}
		for _, e := range m.Events {
			if ids[e.ID]--; ids[e.ID] == 0 {
				delete(ids, e.ID)
			}
		}
	}
	s.Close()
	server.Close()
	for text, want := range map[string]int{
		"person-3.": 0, "buyer-3.": 0, "198.51.100.103": 0, "person-4.": 0, "198.51.100.105": 0, "person-5.": 0,
		"person-1.": messages * each / 10, "buyer-1.": messages * each / 10,
	} {
		if got := holding(t, dir, text); len(got) < want || want == 0 && len(got) > 0 {
			t.Errorf("%s is in %v, want %d times", text, got, want)
		}
	}
}
