package main

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"gavel/internal/datasets"
	"gavel/internal/exchange/dice"
	"gavel/internal/exchange/people"
	"gavel/internal/rank/landings"
	"gavel/internal/rank/profile"
)

// What the hidden truth takes a person for is what the ranker reads of the person's click.
func TestTheRankerReadsPeopleAsTheyAre(t *testing.T) {
	reader, err := profile.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	var lower [profile.MaxValue]byte
	now := time.Date(2026, 5, 4, 12, 30, 0, 0, time.UTC)
	for i := range 2000 {
		k := dice.New(3).With(uint64(i))
		p := people.Draw(k)
		if i%2 == 1 { // a user of a bid request
			p = people.Of(k, p.Agent, "DEU", 60)
		}
		var s profile.Source
		s.Reset(reader.Extra(), now)
		s.UserAgent, s.Language = p.Agent, p.AcceptLanguage()
		for name, text := range map[string]string{profile.Country: p.Text(people.Country, now),
			profile.Provider: p.Text(people.Provider, now), profile.Zone: p.Zone()} {
			reader.Set(&s, name, text)
		}
		var got []string
		for _, f := range reader.Read(nil, &s, &lower) {
			got = append(got, f.Value)
		}
		if want := valuesOf(&p, now); !slices.Equal(got, want) {
			t.Fatalf("%q, %q: the ranker reads %q, the truth has %q", p.Agent, p.AcceptLanguage(), got, want)
		}
	}
}

func TestWarmup(t *testing.T) {
	dir := t.TempDir()
	config, file := filepath.Join(dir, "exchange.yaml"), filepath.Join(dir, "campaigns.yaml")
	text := "ranking: {campaign_file: " + file + ", campaigns: 5, rate_min: 0.05, rate_max: 0.2, replaced: 1}\n"
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"warmup", "--config", config, "--datasets", dir, "--clicks", "3000"}
	var out bytes.Buffer
	if err := run(t.Context(), args, &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	var said struct{ Clicks, Sales, Campaigns int }
	if err := json.Unmarshal(out.Bytes(), &said); err != nil || said.Clicks != 3000 || said.Campaigns != 5 || said.Sales < 100 || said.Sales > 700 {
		t.Errorf("it said %s (%v), want 3000 clicks to 5 campaigns, some hundred of which sold", out.Bytes(), err)
	}
	index, err := datasets.ReadIndex(filepath.Join(dir, "sale"))
	if err != nil {
		t.Fatal(err)
	}
	var rows, sales int64
	for _, c := range index.Campaigns {
		rows, sales = rows+c.Rows, sales+c.Positives
	}
	if len(index.Campaigns) != 5 || rows != 3000 || sales != int64(said.Sales) {
		t.Errorf("the data set has %d rows and %d sales of %d campaigns", rows, sales, len(index.Campaigns))
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if set, err := landings.Parse(file, data); err != nil || set.Len() != 5 {
		t.Errorf("the ranker does not take the campaign file: %v", err)
	}
	if err := run(t.Context(), args, io.Discard, io.Discard); err == nil {
		t.Error("a second log was added to the first one's data set")
	}
}
