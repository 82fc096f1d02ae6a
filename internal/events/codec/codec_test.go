package codec_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"gavel/internal/auction"
	"gavel/internal/events"
	"gavel/internal/events/codec"
	"gavel/internal/events/eventstest"
	"gavel/internal/stream"
)

// TestGolden pins the bytes of schema 1: what is on the stream today must be read by every later build.
func TestGolden(t *testing.T) {
	path := filepath.Join("..", "..", "..", "tests", "golden", "events_v1.msgpack")
	got := codec.Encode(eventstest.Events())
	if os.Getenv("GOLDEN") == "write" {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("the encoding of schema 1 changed: fields may be added at the end of an array (then GOLDEN=write), all else needs a new schema")
	}
	var any []any
	if err := msgpack.Unmarshal(want, &any); err != nil || len(any) != 8 {
		t.Fatalf("another msgpack library reads %d events: %v", len(any), err)
	}
	decoded, err := codec.Decode(want)
	if err != nil {
		t.Fatal(err)
	}
	for i, e := range eventstest.Events() {
		g := decoded[i]
		if e.Type == events.TypeBid {
			b, err := codec.Bid(&g)
			if err != nil {
				t.Fatal(err)
			}
			if b.Prediction.Click != 0.00375 || b.Request.Impressions[0].ID != "1" || b.Request.Impressions[0].Deals[0].ID != "d1" {
				t.Errorf("bid read back as %+v", b)
			}
			g.Body, e.Bid = nil, nil
		}
		e.Version = events.Schema
		if !reflect.DeepEqual(g, e) {
			t.Errorf("event %d: got %+v, want %+v", i, g, e)
		}
	}
}

// left out of a bid event, by the words of events.BidContext.
var leftOut = map[string]bool{
	"Impression.Quantity": true,
	"Request.Currencies":  true, "Request.BlockedCategories": true, "Request.BlockedDomains": true, "Request.BlockedApps": true,
	"Request.Seats": true, "Request.BlockedSeats": true, "Privacy.Contextual": true, "Privacy.Unstored": true, "Privacy.Detail": true, "Privacy.DSA": true,
	"Native.Request": true, "Deal.Seats": true, "Deal.Advertisers": true,
	"Campaign.DailyBudget": true, "Campaign.Pacing": true, "Campaign.Start": true, "Campaign.End": true, "Campaign.Models": true, "Campaign.Targeting": true,
	"Campaign.Creatives": true, "Campaign.Consent": true, "Campaign.DSA": true,
	"Creative.Markup": true, "Creative.ClickURL": true, "Creative.ImageURL": true,
}

// fill sets every exported field that an event carries to a random value, so that a field added to the domain
// without a place in the event makes TestRoundTrip fail.
func fill(v reflect.Value, r *rand.Rand) {
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), r)
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Unix(0, r.Int64N(1<<62)).UTC()))
			return
		}
		for i := range v.NumField() {
			if !leftOut[v.Type().Name()+"."+v.Type().Field(i).Name] && v.Type().Field(i).IsExported() {
				fill(v.Field(i), r)
			}
		}
	case reflect.Slice:
		n := 1 + r.IntN(20)
		if v.Type().Elem() == reflect.TypeFor[auction.Impression]() {
			n = 1
		}
		if v.Type().Elem() == reflect.TypeFor[auction.Deal]() {
			return // set from events.BidContext.Deal
		}
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			fill(v.Index(i), r)
		}
	case reflect.String:
		v.SetString(strings.Repeat("x", r.IntN(300)) + "é")
	case reflect.Int, reflect.Int64:
		v.SetInt(r.Int64() >> r.IntN(64) * (1 - 2*r.Int64N(2)))
	case reflect.Float32:
		v.SetFloat(float64(r.Float32()))
	case reflect.Bool:
		v.SetBool(true)
	default:
		panic("no way to fill a " + v.Kind().String())
	}
}

// differ names the first exported field in which two values differ, "" if none does.
func differ(a, b reflect.Value) string {
	switch a.Kind() {
	case reflect.Pointer:
		if a.IsNil() || b.IsNil() {
			if a.IsNil() != b.IsNil() {
				return " is nil in one"
			}
			return ""
		}
		return differ(a.Elem(), b.Elem())
	case reflect.Struct:
		if a.Type() == reflect.TypeFor[time.Time]() {
			break
		}
		for i := range a.NumField() {
			if f := a.Type().Field(i); f.IsExported() {
				if where := differ(a.Field(i), b.Field(i)); where != "" {
					return "." + f.Name + where
				}
			}
		}
		return ""
	case reflect.Slice:
		if a.Len() != b.Len() {
			return ": other length"
		}
		for i := range a.Len() {
			if where := differ(a.Index(i), b.Index(i)); where != "" {
				return "[]" + where
			}
		}
		return ""
	}
	if !reflect.DeepEqual(a.Interface(), b.Interface()) {
		return " "
	}
	return ""
}

func TestRoundTrip(t *testing.T) {
	for seed := range uint64(200) {
		want := &events.BidContext{}
		fill(reflect.ValueOf(want).Elem(), rand.New(rand.NewPCG(seed, 1)))
		want.Request.Impressions[0].Deals = []auction.Deal{*want.Deal}
		e := events.Event{ID: "bid:x", Type: events.TypeBid, Key: "x", Bid: want}
		read, err := codec.Decode(codec.Encode([]events.Event{e}))
		if err != nil {
			t.Fatal(err)
		}
		again, err := codec.Decode(codec.Encode(read)) // a read event is written as it was
		if err != nil {
			t.Fatal(err)
		}
		got, err := codec.Bid(&again[0])
		if err != nil {
			t.Fatal(err)
		}
		if where := differ(reflect.ValueOf(got).Elem(), reflect.ValueOf(want).Elem()); where != "" {
			t.Fatalf("seed %d: lost or changed: events.BidContext%s (a new field of the domain? carry it, or list it in leftOut)", seed, where)
		}
		req, c := got.Candidate()
		if req != &got.Request || c.Campaign.ID != want.Campaign.ID || c.Creative.ID != want.Creative.ID || c.Deal.ID != want.Deal.ID || c.Floor != want.Floor {
			t.Fatalf("candidate %+v", c)
		}
	}
}

// An entry of the stream keeps its place, and what could be read of it when it is damaged.
func TestRead(t *testing.T) {
	data := codec.Encode(eventstest.Events())
	at := time.UnixMilli(1_770_000_000_500)
	e := stream.Entry{Message: stream.Message{Source: "bidder-1", Data: data}, At: stream.CursorAt(7), Time: at, Lost: 3}
	m := codec.Read(e)
	if m.At != e.At || m.Time != at || m.Source != "bidder-1" || m.Lost != 3 || len(m.Events) != 8 || m.Damaged != nil {
		t.Errorf("got %+v", m)
	}
	e.Data = data[:len(data)-3]
	if m := codec.Read(e); len(m.Events) != 7 || m.Damaged == nil || m.At != e.At {
		t.Errorf("damaged: %d events, %v", len(m.Events), m.Damaged)
	}
}

// A batch is encoded event by event, and gets its head last.
func TestPutHead(t *testing.T) {
	batch := make([]byte, codec.HeadBytes)
	for _, e := range eventstest.Events() {
		batch = codec.Append(batch, &e)
	}
	codec.PutHead(batch, 8)
	if got, err := codec.Decode(batch); err != nil || len(got) != 8 {
		t.Errorf("%d events, %v", len(got), err)
	}
}

// A later build may add fields at the end of any array, and types of event.
func TestLaterSchemas(t *testing.T) {
	enc := func(v any) []byte {
		b, err := msgpack.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	got, err := codec.Decode(enc([]any{
		[]any{1, "win:a", "win", "a", 5, "c", "k", "x", 7, 0, "new", map[string]any{"more": []any{1.5, []byte{1}}}},
		[]any{1, "view:a", "viewable", "a", 6},
		[]any{2, "bid:b", "bid", "b", 7, "another body altogether"},
		[]any{1, "bid:c", "bid", "c", 8, []any{[]any{"req"}}},
	}))
	if err != nil {
		t.Fatal(err)
	}
	if got[0].Price != 7 || got[1].Type != "viewable" || got[2].Key != "b" {
		t.Errorf("got %+v", got)
	}
	if _, err := codec.Bid(&got[2]); !errors.Is(err, events.ErrSchema) {
		t.Errorf("body of schema 2: %v", err)
	}
	b, err := codec.Bid(&got[3])
	if err != nil || b.Request.ID != "req" || len(b.Request.Impressions) != 0 || b.Deal != nil {
		t.Errorf("short body: %+v, %v", b, err)
	}
}

func TestDamage(t *testing.T) {
	whole := codec.Encode(eventstest.Events())
	for n := range whole {
		if _, err := codec.Decode(whole[:n]); err == nil {
			t.Fatalf("cut off at %d of %d: no error", n, len(whole))
		}
	}
	for _, b := range [][]byte{nil, {0xc0}, {0xdd, 255, 255, 255, 255}, {0x91, 0xdd, 255, 255, 255, 255}, append(codec.Encode(nil), 1), bytes.Repeat([]byte{0x91}, 1000)} {
		if _, err := codec.Decode(b); err == nil {
			t.Errorf("%x: no error", b[:min(len(b), 8)])
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(codec.Encode(eventstest.Events()))
	f.Add([]byte{0x91, 0x96, 1, 0xa1, 'x', 0xa3, 'b', 'i', 'd', 0xa1, 'x', 5, 0x91, 0x90})
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := codec.Decode(b)
		for i := range got {
			if got[i].Type == events.TypeBid {
				_, _ = codec.Bid(&got[i])
			}
		}
		if err == nil {
			if _, err := codec.Decode(codec.Encode(got)); err != nil {
				t.Fatalf("what was read cannot be read again: %v", err)
			}
		}
	})
}

func BenchmarkEncodeBid(b *testing.B) {
	req := eventstest.Request()
	bid := eventstest.Bid(req)
	e := events.NewBid(req, bid, time.UnixMilli(1_770_000_000_200))
	buf := make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		buf = codec.Append(buf[:0], &e)
	}
	b.ReportMetric(float64(len(buf)), "bytes/event")
}

// The same event as a msgpack map through a library, for comparison.
func BenchmarkEncodeBidLibrary(b *testing.B) {
	req := eventstest.Request()
	bid := eventstest.Bid(req)
	e := events.NewBid(req, bid, time.UnixMilli(1_770_000_000_200))
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		out, err := msgpack.Marshal(&e)
		if err != nil {
			b.Fatal(err)
		}
		n = len(out)
	}
	b.ReportMetric(float64(n), "bytes/event")
}

func BenchmarkDecodeHeader(b *testing.B) {
	msg := codec.Encode(eventstest.Events()[:1])
	b.ReportAllocs()
	for b.Loop() {
		if _, err := codec.Decode(msg); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeBid(b *testing.B) {
	msg := codec.Encode(eventstest.Events()[:1])
	b.ReportAllocs()
	for b.Loop() {
		got, err := codec.Decode(msg)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := codec.Bid(&got[0]); err != nil {
			b.Fatal(err)
		}
	}
}
