package plan

import (
	"testing"
	"time"

	"gavel/internal/engine"
)

// Every run is counted. CPU time is that of the measured runs and, by them, of the others.
func TestUsage(t *testing.T) {
	folder, objects := t.TempDir(), NewObjects(t.TempDir())
	words().Write(t, folder, objects.dir)
	e, err := Loader(objects, Options{})(t.Context(), engine.Version{Model: "m", Number: 1, Dir: folder})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	b, err := e.NewBatch(64)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	before, measured, most := ReadUsage(), time.Duration(0), time.Duration(0)
	const runs = 4096
	for range runs {
		if err := b.Run(64); err != nil {
			t.Fatal(err)
		}
		cpu := b.(engine.Meter).RunCPU()
		measured, most = measured+cpu, max(most, cpu)
	}
	after := ReadUsage()
	if n := after.Runs - before.Runs; n != runs {
		t.Errorf("counted %d runs, want %d", n, runs)
	}
	// The first runs stand for themselves, and the last seven may wait for the next measured one.
	if cpu := after.CPU - before.CPU; cpu < 4*measured || cpu > 8*measured {
		t.Errorf("CPU %v; the measured runs, one in eight and the first 64, took %v, the longest %v", cpu, measured, most)
	}
}
