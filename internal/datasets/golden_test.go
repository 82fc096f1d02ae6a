package datasets_test

import (
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"gavel/internal/datasets"
)

var update = flag.Bool("update", false, "write the golden data set anew")

// The golden data set is also read by pytrain's tests, which expect these rows.
func TestGolden(t *testing.T) {
	root := filepath.Join("..", "..", "tests", "golden", "datasets")
	const at = 1_760_000_000_000
	rows := []datasets.Row{
		{ID: "a1", Time: at, Campaign: "shoes/42", Values: []string{"PT", "android"}, Label: true, Weight: 4, Value: 12.5},
		{ID: "b1", Time: at + 1, Campaign: "hats", Values: []string{"", "ios"}, Weight: 1},
		{ID: "a2", Time: at + 2, Campaign: "shoes/42", Values: []string{"DE", "größer als"}, Weight: 1.25},
		{ID: "a3", Time: at + 3, Campaign: "shoes/42", Values: []string{"PT", ""}, Weight: 1},
	}
	golden := []string{"country", "system"}
	if *update {
		if err := os.RemoveAll(root); err != nil {
			t.Fatal(err)
		}
		s, err := datasets.Open(root, "sale", datasets.Options{Fields: golden})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		for _, r := range rows[:3] {
			add(t, s, r)
		}
		flush(t, s, at+3)
		add(t, s, rows[3])
		flush(t, s, at+10)
		if err := s.SetActive([]string{"shoes/42"}); err != nil {
			t.Fatal(err)
		}
	}
	f := func(file string, want ...datasets.Row) {
		t.Helper()
		got, err := datasets.ReadFile(filepath.Join(root, "sale", file), golden)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v\ngot  %+v\nwant %+v", file, err, got, want)
		}
	}
	f("shoes%2F42/1760000000000-1760000000003.parquet", rows[0], rows[2])
	f("shoes%2F42/1760000000003-1760000000010.parquet", rows[3])
	f("hats/1760000000001-1760000000003.parquet", rows[1])
}
