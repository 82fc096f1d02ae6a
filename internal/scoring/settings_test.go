package scoring

import (
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"gavel/internal/batcher"
)

// settingsOf returns the settings of all models, as tests need them.
func settingsOf(policy batcher.Policy, maxRows, queueRows int) Settings {
	text, wait, runners := string(policy), 5*time.Millisecond, 3
	return Settings{Policy: &text, MaxRows: &maxRows, MaxWait: &wait, QueueRows: &queueRows, Runners: &runners}
}

func TestSettingsBecomeOptions(t *testing.T) {
	all := settingsOf(batcher.Adaptive, 64, 4096)
	f := func(name string, s Settings, wantQueue batcher.QueueOptions, wantPool *batcher.PoolOptions) {
		t.Helper()
		wantQueue.CalibrationRuns = calibrationRuns
		whole := s.Inherit(all)
		if got := whole.Queue(); got != wantQueue {
			t.Errorf("%s: queue %+v, want %+v", name, got, wantQueue)
		}
		if got := whole.Pool(); !reflect.DeepEqual(got, wantPool) {
			t.Errorf("%s: pool %+v, want %+v", name, got, wantPool)
		}
	}
	f("a model that sets nothing", Settings{},
		batcher.QueueOptions{Policy: batcher.Adaptive, MaxRows: 64, MaxWait: 5 * time.Millisecond, QueueRows: 4096}, nil)
	f("a model that sets everything",
		Settings{Policy: new("eager"), MaxRows: new(32), MaxWait: new(2 * time.Millisecond), QueueRows: new(320), Weight: new(0.5),
			MaxRunners: new(2), Runners: new(4), Nice: new(10)},
		batcher.QueueOptions{Policy: batcher.Eager, MaxRows: 32, MaxWait: 2 * time.Millisecond, QueueRows: 320, Weight: 0.5, MaxRunners: 2},
		&batcher.PoolOptions{Runners: 4, Nice: 10})
}

func TestSettingsFaults(t *testing.T) {
	all := settingsOf(batcher.Adaptive, 128, 256)
	f := func(name string, s, all Settings, want ...string) {
		t.Helper()
		faults := s.Faults("models.m", all)
		if len(faults) != len(want) {
			t.Errorf("%s: %d faults, want %d: %v", name, len(faults), len(want), faults)
			return
		}
		for i, w := range want {
			if !strings.HasPrefix(faults[i].Error(), "models.m."+w) {
				t.Errorf("%s: %q, want %q", name, faults[i], w)
			}
		}
	}
	f("nothing is set", Settings{}, all)
	f("the settings of all models", all, all)
	f("below the bounds", Settings{Policy: new("lazy"), MaxRows: new(0), MaxWait: new(time.Duration(0)), QueueRows: new(0), Weight: new(0.0),
		MaxRunners: new(0), Runners: new(0), Nice: new(-1)}, all,
		`policy: "lazy" is none of [adaptive eager window off]`, "max_rows: 0 must be 1 to 65536", "queue_rows: 0", "max_runners: 0",
		"runners: 0", "nice: -1 must be 0 to 19", "max_wait: 0s", "weight: 0")
	f("above the bounds", Settings{MaxRows: new(70000), MaxWait: new(2 * time.Minute), QueueRows: new(5000000), Weight: new(2e6),
		MaxRunners: new(2000), Runners: new(2000), Nice: new(20)}, all,
		"max_rows: 70000", "queue_rows: 5000000", "max_runners: 2000", "runners: 2000", "nice: 20", "max_wait: 2m0s", "weight: 2e+06")
	f("a weight that is not a number", Settings{Weight: new(math.NaN())}, all, "weight: NaN")
	f("a queue shorter than a batch", Settings{MaxRows: new(64), QueueRows: new(32)}, all, "queue_rows: 32 is less than max_rows (64)")
	f("a batch longer than the queue of all models", Settings{MaxRows: new(512)}, all, "queue_rows: 256 is less than max_rows (512)")
	f("a queue shorter than a batch of all models", Settings{QueueRows: new(100)}, all, "queue_rows: 100 is less than max_rows (128)")
	f("a fault of all models alone", Settings{}, settingsOf(batcher.Adaptive, 128, 64))
	f("nice without runners", Settings{Nice: new(5)}, all, "nice: the model shares its runners")
	f("nice under off", Settings{Nice: new(5), Runners: new(1)}, settingsOf(batcher.Off, 128, 256), "nice: under policy off")
}
