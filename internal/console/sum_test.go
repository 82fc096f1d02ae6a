package console

import (
	"reflect"
	"regexp"
	"testing"

	"gavel/internal/batcher"
)

// addStats adds every value that a metric exports.
func TestAddStats(t *testing.T) {
	var a, b batcher.Stats
	n := 1
	for _, s := range []*batcher.Stats{&a, &b} {
		for _, field := range reflect.VisibleFields(reflect.TypeOf(*s)) {
			n += 7
			switch v := reflect.ValueOf(s).Elem().FieldByIndex(field.Index); v.Kind() {
			case reflect.Uint64:
				v.SetUint(uint64(n))
			case reflect.Int:
				v.SetInt(int64(n))
			case reflect.Float64:
				v.SetFloat(float64(n))
			}
		}
		for _, h := range []*batcher.Histogram{&s.BatchRows, &s.QueueTime, &s.RunTime, &s.PredictionRatio} {
			n++
			*h = batcher.Histogram{First: 1, Counts: []uint64{uint64(n), 2, 3}, Sum: float64(n), Count: uint64(n + 5)}
		}
		s.Settings.MaxRows = n
		s.Curve = []batcher.CurvePoint{{Rows: n}}
		s.Sizes = []batcher.SizeStats{{MaxRows: 4, Runs: 1, Rows: 3, Seconds: 0.5}, {MaxRows: n, Runs: 2, Rows: 2, Seconds: 0.25}}
	}
	before := a.BatchRows.Counts[0]
	sum := addStats(a, b)
	notAdded := regexp.MustCompile(`"gavel_batcher_(queue_high_rows|batch_capacity_rows)"`) // the maximum, the newer version's
	for _, m := range queueMetrics {
		want := m.value(&a) + m.value(&b)
		if notAdded.MatchString(m.desc.String()) {
			want = m.value(&b)
		}
		if got := m.value(&sum); got != want {
			t.Errorf("%s %s: got %v, want %v", m.desc, m.label, got, want)
		}
	}
	for _, d := range histogramDescs {
		x, y, h := d.value(&a), d.value(&b), d.value(&sum)
		want := batcher.Histogram{First: 1, Counts: []uint64{x.Counts[0] + y.Counts[0], 4, 6}, Sum: x.Sum + y.Sum, Count: x.Count + y.Count}
		if !reflect.DeepEqual(h, want) {
			t.Errorf("%s: got %+v, want %+v", d.desc, h, want)
		}
	}
	if a.BatchRows.Counts[0] != before {
		t.Error("addStats changed the histogram of its first argument")
	}
	wantSizes := []batcher.SizeStats{{MaxRows: 4, Runs: 2, Rows: 6, Seconds: 1}, a.Sizes[1], b.Sizes[1]}
	if !reflect.DeepEqual(sum.Sizes, wantSizes) || sum.Curve[0] != b.Curve[0] {
		t.Errorf("got sizes %v and curve %v; want sizes %v and the newer version's curve", sum.Sizes, sum.Curve, wantSizes)
	}
}
