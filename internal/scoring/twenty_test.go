package scoring_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"gavel/internal/batcher"
	"gavel/internal/batcher/batchertest"
	"gavel/internal/engine"
	"gavel/internal/engine/tensorflow"
	"gavel/internal/engine/tensorflow/tensorflowtest"
	"gavel/internal/models"
	"gavel/internal/models/dir"
	"gavel/internal/models/modelstest"
	"gavel/internal/race"
	"gavel/internal/scoring"
)

// The most that one more model may cost while nobody uses it.
const (
	idleCPU    = 0.002   // CPU seconds a second
	idleMemory = 2 << 20 // bytes, including 10 KB of weights
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		tensorflowtest.Remove()
		os.Exit(code)
	}))
}

// resident returns the process's resident memory in bytes, after a garbage collection.
func resident(t *testing.T) int64 {
	t.Helper()
	debug.FreeOSMemory()
	data, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Skip("this system has no /proc")
	}
	pages, err := strconv.ParseInt(strings.Fields(string(data))[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}

// idleCPUTime returns the CPU time that the process uses in d while the test does nothing.
func idleCPUTime(t *testing.T, d time.Duration) time.Duration {
	t.Helper()
	used := func() time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			t.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	before := used()
	<-time.After(d)
	return used() - before
}

// Twenty models serve in one process. An idle model costs little, and swapping a version of one model does not stop
// another.
func TestTwentyModels(t *testing.T) {
	if testing.Short() || race.Enabled {
		t.Skip("measures memory and CPU time, with TensorFlow")
	}
	version := filepath.Join(tensorflowtest.Versions(t), "pytrain_logreg")
	store := dir.New(t.TempDir())
	group, err := models.NewGroup(models.GroupOptions{
		Store: store, Loaders: engine.Loaders{models.DefaultFormat: tensorflow.Loader(tensorflow.Options{})}, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer group.Close()
	pool := batchertest.NewPool(t, batcher.PoolOptions{Runners: 1}) // closed after the models
	all, err := scoring.New(scoring.Options{Group: group, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		for _, name := range all.Names() {
			if err := all.Find(name).Close(ctx); err != nil {
				t.Error(err)
			}
		}
	}()
	serve := func(i int) {
		name := fmt.Sprintf("m%02d", i)
		modelstest.PublishCopy(t, store, version, name, 1)
		if _, err := all.Serve(name, pool, batcher.QueueOptions{CalibrationRuns: 8}); err != nil {
			t.Fatal(err)
		}
	}
	settled := func(n int, versionOfSecond int64) {
		t.Helper()
		waitFor(t, fmt.Sprintf("each of %d models has one version, the second one version %d", n, versionOfSecond), func() bool {
			for i := range n {
				st := all.Find(fmt.Sprintf("m%02d", i)).Status()
				if st.Stable == nil || i == 1 && st.Stable.Version != versionOfSecond || st.Live != 1 {
					return false
				}
			}
			return true
		})
	}
	serve(0)
	serve(1)
	settled(2, 1)
	const quiet = 4 * time.Second
	memory, cpu := resident(t), idleCPUTime(t, quiet)
	for i := 2; i < 20; i++ {
		serve(i)
	}
	settled(20, 1)
	moreMemory, moreCPU := (resident(t)-memory)/18, (idleCPUTime(t, quiet)-cpu)/18
	t.Logf("one more idle model: %d KiB, %.3f %% of a core", moreMemory>>10, 100*moreCPU.Seconds()/quiet.Seconds())
	if moreMemory > idleMemory {
		t.Errorf("one more idle model takes %d KiB, want at most %d", moreMemory>>10, idleMemory>>10)
	}
	if limit := time.Duration(idleCPU * float64(quiet)); moreCPU > limit {
		t.Errorf("one more idle model takes %v of CPU time in %v, want at most %v", moreCPU, quiet, limit)
	}

	var answers atomic.Int64
	stop := make(chan struct{})
	ended := make(chan error, 1) // room for the one error, so that the goroutine can end
	go func() {
		rows, results := make([]int32, 6), make([]scoring.Result, 1)
		for {
			select {
			case <-stop:
				ended <- nil
				return
			default:
			}
			v, err := all.Find("m00").AcquireVersion(0)
			if err == nil {
				err = v.Score(rows, time.Now().Add(time.Minute), results)
				v.Release()
			}
			if err != nil {
				ended <- err
				return
			}
			answers.Add(1)
			runtime.Gosched()
		}
	}()
	waitFor(t, "an answer came", func() bool { return answers.Load() > 0 })
	before := answers.Load()
	modelstest.PublishCopy(t, store, version, "m01", 2)
	settled(20, 2)
	during := answers.Load() - before
	close(stop)
	if err := <-ended; err != nil {
		t.Errorf("model m00 failed while m01 was swapped: %v", err)
	}
	t.Logf("m00 answered %d times while m01 was swapped", during)
	if during < 100 {
		t.Errorf("m00 answered %d times while m01 was swapped, want at least 100", during)
	}
}

func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !done(); {
		if time.Now().After(deadline) {
			t.Fatalf("waited a minute in vain: %s", what)
		}
		<-time.After(10 * time.Millisecond)
	}
}
