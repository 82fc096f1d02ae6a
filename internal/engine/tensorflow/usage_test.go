package tensorflow

import (
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gavel/internal/engine"
	"gavel/internal/engine/tensorflow/tensorflowtest"
)

// What TensorFlow uses is found, whichever threads it computes in. Its pools are made once a process, so that the other
// Threading is tried in a process of its own.
func TestUsage(t *testing.T) {
	t.Run(string(threadingOf(benchThreading)), testUsage)
	other := DefaultThreads
	if threadingOf(benchThreading) == DefaultThreads {
		other = CallerThread
	}
	t.Run(string(other), func(t *testing.T) {
		cmd := exec.Command(os.Args[0], "-test.run=^TestUsageHere$", "-test.v")
		cmd.Env = append(os.Environ(), "GAVEL_THREADING="+string(other), tensorflowtest.DirVariable+"="+tensorflowtest.Versions(t))
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "--- PASS: TestUsageHere") {
			t.Errorf("%v\n%s", err, out)
		}
	})
}

// TestUsageHere is what TestUsage runs in a process of its own.
func TestUsageHere(t *testing.T) {
	if os.Getenv(tensorflowtest.DirVariable) == "" {
		t.Skip("TestUsage runs it")
	}
	testUsage(t)
}

func testUsage(t *testing.T) {
	s, _ := opened(t, "deepfm")
	b := newBatch(t, s, 128)
	defer b.Close()
	meter := b.(engine.Meter)
	runs := func(n int) (measured int) {
		for range n {
			if err := b.Run(128); err != nil {
				t.Fatal(err)
			}
			if meter.RunCPU() > 0 {
				measured++
			}
		}
		return measured
	}
	runs(10) // the first ones are others' trouble
	before, cpuBefore := ReadUsage(), cpuTime(t)
	const n = 1500
	runs(n * 3 / 4)
	if got := runs(n / 4); got < n/4/16 || got > n/4/4 {
		t.Errorf("of %d runs %d were measured, want one in eight", n/4, got)
	}
	after, cpu := ReadUsage(), cpuTime(t)-cpuBefore
	if !after.PoolKnown {
		t.Skip("no /proc")
	}
	caller, pool := after.Caller-before.Caller, after.Pool-before.Pool
	t.Logf("%d runs: %v in their callers, %v in the pool, %v in the process", n, caller, pool, cpu)
	if got := after.Runs - before.Runs; got != n {
		t.Errorf("%d runs counted, want %d", got, n)
	}
	if sum := caller + pool; sum < cpu*7/10 || sum > cpu*12/10 {
		t.Errorf("TensorFlow's CPU time is %v in all, the process used %v: want nearly all of it", sum, cpu)
	}
	if threadingOf(benchThreading) == CallerThread && pool > 2*clockTick {
		t.Errorf("the pool used %v, want none", pool)
	}
	if threadingOf(benchThreading) == DefaultThreads && pool < caller {
		t.Errorf("the pool used %v, the callers %v: want most of it in the pool", pool, caller)
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(NewUsageCollector())
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	exported := map[string]float64{}
	for _, family := range families {
		for _, m := range family.Metric {
			name := family.GetName()
			for _, l := range m.Label {
				name += " " + l.GetName() + "=" + l.GetValue()
			}
			exported[name] = m.Counter.GetValue()
		}
	}
	if len(exported) != 3 || exported["gavel_tensorflow_runs_total"] != float64(after.Runs) ||
		exported["gavel_tensorflow_cpu_seconds_total threads=caller"] != after.Caller.Seconds() ||
		exported["gavel_tensorflow_cpu_seconds_total threads=pool"] < after.Pool.Seconds() {
		t.Errorf("exported %v, want %+v", exported, after)
	}
}

func threadingOf(t Threading) Threading {
	if t == "" {
		return CallerThread
	}
	return t
}

func TestParseStat(t *testing.T) {
	f := func(stat, wantName string, wantCPU time.Duration, wantOK bool) {
		t.Helper()
		name, cpu, ok := parseStat([]byte(stat))
		if name != wantName || cpu != wantCPU || ok != wantOK {
			t.Errorf("%q: got %q, %v, %v; want %q, %v, %v", stat, name, cpu, ok, wantName, wantCPU, wantOK)
		}
	}
	f("24947 (tf_Compute) S 1 24791 17 0 -1 4194368 500 0 0 0 30 1 0 0 20 0 10 0 88 1 2\n", "tf_Compute", 310*time.Millisecond, true)
	f("7 (a) name) (x) R 1 2 3 0 -1 0 0 0 0 0 0 0 0 0 20 0", "a) name) (x", 0, true)
	f("7 (cut short) R 1 2 3", "", 0, false)
	f("7 (no numbers) S 1 1 1 0 -1 0 0 0 0 0 x y 0 0", "", 0, false)
	f("", "", 0, false)
	if _, known := poolCPU("/nowhere"); known {
		t.Error("a directory that is not there was read")
	}
}
