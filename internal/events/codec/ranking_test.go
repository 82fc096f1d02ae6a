package codec_test

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/vmihailenco/msgpack/v5"

	"gavel/internal/events"
	"gavel/internal/events/codec"
)

// rankings are the events of a click and its sale. Never change them: golden bytes depend on them.
func rankings() []events.Event {
	return []events.Event{
		{ID: "ranking:k", Type: events.TypeRanking, Key: "k", Time: 1_770_000_000_200, Campaign: "shoes", Ranking: &events.Ranking{
			Policy: "thompson", Propensity: 0.125, Probability: 0.00075, Version: 1_769_999_000_000, Prior: 1_769_000_000_000,
			Fields: []string{"device", "country", "provider"}, Values: []string{"mobile", "DE", ""},
		}},
		{ID: "sale:k:order-1", Type: events.TypeSale, Key: "k", Time: 1_770_000_900_000, Campaign: "shoes", Price: 12_500_000},
	}
}

func TestRankingGolden(t *testing.T) {
	path := filepath.Join("..", "..", "..", "tests", "golden", "rankings_v1.msgpack")
	got := codec.Encode(rankings())
	if os.Getenv("GOLDEN") == "write" {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("the encoding changed: fields may be added at the end of an array (then GOLDEN=write), all else needs a new schema")
	}
	var any []any
	if err := msgpack.Unmarshal(want, &any); err != nil || len(any) != 2 {
		t.Fatalf("another msgpack library reads %d events: %v", len(any), err)
	}
	decoded, err := codec.Decode(want)
	if err != nil {
		t.Fatal(err)
	}
	for i, e := range rankings() {
		e.Version = events.Schema
		if !reflect.DeepEqual(decoded[i], e) {
			t.Errorf("got %+v, want %+v", decoded[i], e)
		}
	}
}

func TestRankingFaults(t *testing.T) {
	f := func(want string, change func(*events.Ranking)) {
		t.Helper()
		all := rankings()
		change(all[0].Ranking)
		read, err := codec.Decode(codec.Encode(all))
		if err == nil || !strings.Contains(err.Error(), want) || len(read) != 0 {
			t.Errorf("read %d events, %v; want %q", len(read), err, want)
		}
	}
	f("3 fields with 2 values", func(k *events.Ranking) { k.Values = k.Values[:2] })
	f("propensity 0", func(k *events.Ranking) { k.Propensity = 0 })
	f("propensity 1.5", func(k *events.Ranking) { k.Propensity = 1.5 })
	f("probability -1", func(k *events.Ranking) { k.Probability = -1 })
	all := rankings()
	all[0].Ranking = nil
	if _, err := codec.Decode(codec.Encode(all)); err == nil || !strings.Contains(err.Error(), "without its body") {
		t.Errorf("a ranking without its body: %v", err)
	}
}
