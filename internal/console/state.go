package console

import (
	"strings"
	"time"

	"gavel/internal/batcher"
	"gavel/internal/host"
	"gavel/internal/models"
)

// pageState is the content of /batcher.json. Counts are since the start of the process; the page shows the differences of
// two answers.
type pageState struct {
	Bidder  string      `json:"bidder"`
	Process int64       `json:"process"` // start of the process, Unix time in ms; if it changes, the bidder has restarted
	At      float64     `json:"at"`      // seconds since the start
	CPUs    int         `json:"cpus"`
	Threads string      `json:"tensorflow_threading"`
	Runners pageRunners `json:"runners"`
	Models  []pageModel `json:"models"`
}

type pageRunners struct {
	Count int     `json:"count"`
	Busy  float64 `json:"busy_seconds"`
}

// pageModel is one model: its manager's status, and the sums over the queues of its versions.
type pageModel struct {
	Model      string        `json:"model"`
	Stable     *pageVersion  `json:"stable"` // null: no version serves
	Canary     *pageVersion  `json:"canary"` // null: there is no canary
	Share      float64       `json:"canary_share"`
	Pinned     *models.Pin   `json:"pinned"` // null: a new version becomes the stable one
	Live       int           `json:"live_versions"`
	Refused    []pageRefusal `json:"refused"`
	StoreError string        `json:"store_error"`
	Settings   *pageSettings `json:"settings"` // null: the model has no queue
	Counts     pageCounts    `json:"counts"`
	Queue      pageQueue     `json:"queue"`
	BatchRows  pageHistogram `json:"batch_rows"`
	QueueTime  pageHistogram `json:"queue_seconds"`
	RunTime    pageHistogram `json:"run_seconds"`
	Ratio      pageHistogram `json:"prediction_ratio"`
	Curve      [][3]float64  `json:"curve"` // rows, expected seconds, high seconds
	Sizes      [][4]float64  `json:"sizes"` // for the runs of one range of sizes: most rows of a run, runs, rows, seconds
}

type pageVersion struct {
	Version int64   `json:"version"`
	Format  string  `json:"format"`      // the one that serves
	Age     float64 `json:"age_seconds"` // since the version was exported
	Learnt  int64   `json:"learnt_rows"`
}

type pageRefusal struct {
	Version int64  `json:"version"`
	Error   string `json:"error"`
}

type pageSettings struct {
	Policy     batcher.Policy `json:"policy"`
	MaxRows    int            `json:"max_rows"`
	MaxWait    string         `json:"max_wait"`
	QueueRows  int            `json:"queue_rows"`
	MaxRunners int            `json:"max_runners"`
	Weight     float64        `json:"weight"`
}

type pageCounts struct {
	Claims    uint64  `json:"claims"`
	Claimed   uint64  `json:"claimed_rows"`
	Rows      uint64  `json:"rows"`
	Batches   uint64  `json:"batches"`
	Runs      uint64  `json:"runs"`
	Full      uint64  `json:"full"`
	Due       uint64  `json:"due"`
	Idle      uint64  `json:"idle"`
	Close     uint64  `json:"close"`
	Inline    uint64  `json:"inline"`
	Answered  uint64  `json:"answered"`
	ShedFull  uint64  `json:"shed_full"`
	ShedLate  uint64  `json:"shed_late"`
	Expired   uint64  `json:"expired"`
	Refused   uint64  `json:"refused"`
	Abandoned uint64  `json:"abandoned"`
	Failed    uint64  `json:"failed"`
	Closed    uint64  `json:"closed"`
	Rescued   uint64  `json:"rescued"`
	RunErrors uint64  `json:"run_errors"`
	Panics    uint64  `json:"panics"`
	Predicted float64 `json:"predicted_seconds"`
	Actual    float64 `json:"actual_seconds"`
}

type pageQueue struct {
	Rows     int    `json:"rows"`
	Capacity int    `json:"capacity"`
	High     int    `json:"high"`
	Reached  uint64 `json:"reached"`
	Running  int    `json:"running"`
}

// pageHistogram is a batcher.Histogram without the empty buckets at both ends.
type pageHistogram struct {
	First  int      `json:"first"` // native index of counts[0], whose upper bound is 2^(first/8)
	Counts []uint64 `json:"counts"`
	Zero   uint64   `json:"zero"` // values below all buckets
	Sum    float64  `json:"sum"`
	Count  uint64   `json:"count"`
}

// Bounds of an answer's size.
const (
	maxRefusals = 4   // refused versions of a model; the newest are kept
	maxMessage  = 300 // bytes of an error message
)

func (p *Page) state() pageState {
	since := p.Queues.since
	s := pageState{
		Bidder: p.Bidder, Process: since.UnixMilli(), At: time.Since(since).Seconds(), CPUs: host.Processors(), Threads: p.Threading,
		Models: []pageModel{},
	}
	p.Queues.eachPool(func(_ string, pool *batcher.PoolStats) {
		s.Runners.Count += pool.Runners
		s.Runners.Busy += pool.Busy
	})
	byModel := p.Queues.byModel()
	for _, st := range p.Models() {
		stats := byModel[st.Model]
		s.Models = append(s.Models, newPageModel(&st, &stats))
	}
	return s
}

func newPageModel(st *models.Status, s *batcher.Stats) pageModel {
	m := pageModel{
		Model: st.Model, Stable: newPageVersion(st.Stable), Canary: newPageVersion(st.Canary), Share: st.CanaryShare, Pinned: st.Pointer.Pinned, Live: st.Live,
		Refused: []pageRefusal{}, StoreError: cut(st.StoreError),
		Counts: pageCounts{
			Claims: s.Claims, Claimed: s.Rows, Rows: s.RunRows, Batches: s.Batches, Runs: s.Runs,
			Full: s.FlushFull, Due: s.FlushDue, Idle: s.FlushIdle, Close: s.FlushClose, Inline: s.Inline,
			Answered: s.Answered, ShedFull: s.ShedFull, ShedLate: s.ShedLate, Expired: s.Expired, Refused: s.Refused,
			Abandoned: s.Abandoned, Failed: s.Failed, Closed: s.Closed, Rescued: s.Rescued, RunErrors: s.RunErrors, Panics: s.Panics,
			Predicted: s.Predicted, Actual: s.Actual,
		},
		Queue:     pageQueue{Rows: s.QueueRows, Capacity: s.QueueCapacity, High: s.QueueHigh, Reached: s.QueueReached, Running: s.Running},
		BatchRows: newPageHistogram(s.BatchRows), QueueTime: newPageHistogram(s.QueueTime),
		RunTime: newPageHistogram(s.RunTime), Ratio: newPageHistogram(s.PredictionRatio),
		Curve: [][3]float64{}, Sizes: [][4]float64{},
	}
	for _, r := range st.Refused[max(len(st.Refused)-maxRefusals, 0):] {
		m.Refused = append(m.Refused, pageRefusal{r.Version, cut(r.Error)})
	}
	if o := s.Settings; s.Name != "" {
		m.Settings = &pageSettings{
			Policy: o.Policy, MaxRows: o.MaxRows, MaxWait: o.MaxWait.String(), QueueRows: o.QueueRows,
			MaxRunners: o.MaxRunners, Weight: o.Weight,
		}
	}
	for _, c := range s.Curve {
		m.Curve = append(m.Curve, [3]float64{float64(c.Rows), c.Mean.Seconds(), c.High.Seconds()})
	}
	for _, z := range s.Sizes {
		m.Sizes = append(m.Sizes, [4]float64{float64(z.MaxRows), float64(z.Runs), float64(z.Rows), z.Seconds})
	}
	return m
}

func newPageVersion(v *models.VersionStatus) *pageVersion {
	if v == nil {
		return nil
	}
	return &pageVersion{v.Version, v.Format, time.Since(v.Created).Seconds(), v.Rows}
}

func newPageHistogram(h batcher.Histogram) pageHistogram {
	out := pageHistogram{First: h.First, Counts: []uint64{}, Sum: h.Sum, Count: h.Count}
	if len(h.Counts) == 0 {
		return out
	}
	out.Zero, out.Counts = h.Counts[0], h.Counts[1:]
	for len(out.Counts) > 0 && out.Counts[0] == 0 {
		out.First, out.Counts = out.First+1, out.Counts[1:]
	}
	for n := len(out.Counts); n > 0 && out.Counts[n-1] == 0; n-- {
		out.Counts = out.Counts[:n-1]
	}
	return out
}

// cut shortens a message to maxMessage bytes and an ellipsis.
func cut(message string) string {
	if len(message) <= maxMessage {
		return message
	}
	return strings.ToValidUTF8(message[:maxMessage], "") + "…"
}
