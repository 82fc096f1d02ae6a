package plan

import "testing"

func TestProfile(t *testing.T) {
	for _, rows := range []int{1, 64} {
		s := adult(10).open(t, rows)
		s.score(adultRows(rows), rows)
		took, err := s.batch.(*Batch).Profile(rows, 3)
		if err != nil || len(took) != len(s.batch.(*Batch).engine.program.steps) {
			t.Fatalf("%v, %v", took, err)
		}
		total := took[0]
		for _, d := range took[1:] {
			total += d
		}
		if total <= 0 || total > 1e9 {
			t.Errorf("%d rows took %v", rows, took)
		}
	}
	s := adult(1).open(t, 64)
	for _, bad := range [][2]int{{0, 1}, {65, 1}, {1, 0}} {
		if _, err := s.batch.(*Batch).Profile(bad[0], bad[1]); err == nil {
			t.Errorf("%v was profiled", bad)
		}
	}
}
