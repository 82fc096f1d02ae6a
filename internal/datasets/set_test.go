package datasets_test

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"gavel/internal/datasets"
)

var fields = []string{"country", "device"}

func row(i int, campaign string) datasets.Row {
	return datasets.Row{
		ID: fmt.Sprintf("click-%d", i), Time: int64(i), Campaign: campaign, Values: []string{"DE", fmt.Sprint("phone", i%3)},
		Label: i%4 == 0, Weight: 1.5, Value: float64(i%4) / 3,
	}
}

func open(t *testing.T, root string, opts datasets.Options) *datasets.Set {
	t.Helper()
	opts.Fields = fields
	s, err := datasets.Open(root, "sales", opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func add(t *testing.T, s *datasets.Set, r datasets.Row) {
	t.Helper()
	if err := s.Add(r); err != nil {
		t.Fatal(err)
	}
}

func flush(t *testing.T, s *datasets.Set, until int64) {
	t.Helper()
	if err := s.Flush(until, fmt.Sprint("at ", until)); err != nil {
		t.Fatal(err)
	}
}

func TestRowsComeBack(t *testing.T) {
	root := t.TempDir()
	s := open(t, root, datasets.Options{})
	want := []datasets.Row{row(5, "shoes, red"), row(6, "shoes, red"), row(6, "shoes, red"), row(9, "shoes, red")}
	want[2].ID, want[2].Values = "Größe", []string{"", ""}
	for _, r := range want {
		add(t, s, r)
	}
	flush(t, s, 9)
	path := filepath.Join(root, "sales", "shoes%2C%20red", "5-9.parquet")
	got, err := datasets.ReadFile(path, fields)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want[:3]) {
		t.Errorf("got %+v\nwant %+v", got, want[:3])
	}
	if until, at := s.Position(); s.Pending() != 1 || until != 9 || at != "at 9" {
		t.Errorf("%d rows wait, until is %d, the position %s", s.Pending(), until, at)
	}
	c := s.Index().Campaigns["shoes%2C%20red"]
	if want := (datasets.Count{Files: 1, Rows: 3, From: 5, To: 9}); c != want {
		t.Errorf("the index has %+v, want %+v", c, want)
	}
}

func TestRefused(t *testing.T) {
	s := open(t, t.TempDir(), datasets.Options{})
	f := func(want string, spoil func(*datasets.Row)) {
		t.Helper()
		r := row(7, "a")
		spoil(&r)
		if err := s.Add(r); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	f("campaign", func(r *datasets.Row) { r.Campaign = "" })
	f("campaign", func(r *datasets.Row) { r.Campaign = "\xff" })
	f("weight NaN", func(r *datasets.Row) { r.Weight = math.NaN() })
	f("weight -1", func(r *datasets.Row) { r.Weight = -1 })
	f("value +Inf", func(r *datasets.Row) { r.Value = math.Inf(1) })
	f("1 values: the set has 2 fields", func(r *datasets.Row) { r.Values = r.Values[:1] })
	f("field device", func(r *datasets.Row) { r.Values[1] = "\xff" })
	f("id", func(r *datasets.Row) { r.ID = strings.Repeat("x", 64<<10+1) })
	add(t, s, row(7, "a"))
	f("before 7", func(r *datasets.Row) { r.Time = 6 })
	add(t, s, row(8, "a"))
	flush(t, s, 20)
	f("before 20", func(r *datasets.Row) { r.Time = 19 })
	if err := s.Flush(19, ""); err == nil {
		t.Error("a flush went back in time")
	}
}

func TestOpenRefuses(t *testing.T) {
	root := t.TempDir()
	s := open(t, root, datasets.Options{})
	f := func(want, name string, fields ...string) {
		t.Helper()
		if other, err := datasets.Open(root, name, datasets.Options{Fields: fields}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
			if err == nil {
				other.Close()
			}
		}
	}
	f("another process uses it", "sales", fields...)
	s.Close()
	f("its fields are country, device, not country", "sales", "country")
	f("want the name of a directory", "../sales", fields...)
	f("want 1 to 64", "other")
	f("this column exists already", "other", "label")
	f("this column exists already", "other", "a", "a")
}

// A file that another program damaged is reported and kept; the others serve.
func TestDamagedFile(t *testing.T) {
	root := t.TempDir()
	s := open(t, root, datasets.Options{})
	add(t, s, row(1, "a"))
	add(t, s, row(2, "b"))
	flush(t, s, 3)
	s.Close()
	path := filepath.Join(root, "sales", "a", "1-3.parquet")
	if err := os.WriteFile(path, []byte("PAR1 nonsense PAR1"), 0o600); err != nil {
		t.Fatal(err)
	}
	s = open(t, root, datasets.Options{})
	add(t, s, row(3, "a"))
	add(t, s, row(4, "b"))
	flush(t, s, 5)
	if _, err := os.Stat(path); err != nil {
		t.Errorf("the damaged file is gone: %v", err)
	}
	if got, err := datasets.ReadFile(filepath.Join(root, "sales", "b", "2-5.parquet"), fields); err != nil || len(got) != 2 {
		t.Errorf("the other campaign's files were not joined: %d rows, %v", len(got), err)
	}
	if got, err := datasets.ReadFile(filepath.Join(root, "sales", "a", "3-5.parquet"), fields); err != nil || len(got) != 1 {
		t.Errorf("new rows of the damaged campaign: %d, %v", len(got), err)
	}
}

func TestEnded(t *testing.T) {
	root := t.TempDir()
	s := open(t, root, datasets.Options{})
	add(t, s, row(1, "a"))
	add(t, s, row(2, "shoes, red"))
	flush(t, s, 3)
	f := func(ended map[string]bool, active ...string) {
		t.Helper()
		if err := s.SetActive(active); err != nil {
			t.Fatal(err)
		}
		for name, want := range ended {
			if _, err := os.Stat(filepath.Join(root, "sales", name, "ended")); (err == nil) != want {
				t.Errorf("active %q: %s ended %t, want %t", active, name, err == nil, want)
			}
		}
	}
	f(map[string]bool{"a": false, "shoes%2C%20red": true}, "a")
	f(map[string]bool{"a": false, "shoes%2C%20red": false}, "a", "shoes, red", "new")
	f(map[string]bool{"a": true, "shoes%2C%20red": false}, "shoes, red")
}
