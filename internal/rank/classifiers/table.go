package classifiers

import (
	"time"

	"gavel/internal/dirwatch"
)

// identity is what the sink has of a file.
type identity struct {
	kind     Kind
	campaign string
	version  uint64
	prior    uint64
	data     [32]byte // the file's checksum
	about    about
}

// about is what a classifier's file says of itself, for who watches.
type about struct{ trainedMs, rows, positives, weights int64 }

func aboutOf(f *File) about {
	a := about{trainedMs: f.TrainedMs, rows: f.Rows, positives: f.Positives}
	for i := range f.Features {
		a.weights += int64(len(f.Features[i].Weights))
	}
	return a
}

// A known file is one that was read.
type known struct {
	stamp dirwatch.Stamp
	read  time.Time // when

	// What the file holds now may differ from what serves of it.
	served    *identity // nil: nothing
	waits     uint64    // the prior that its contents wait for; 0: none
	campaign  string    // that its contents claim, if outranked
	outranked bool      // another file of its campaign serves
	fault     error     // why its contents are refused
	since     time.Time // of the fault, or the waiting
	loads     int       // how often contents began to serve
}

// is reports whether the file is as it was read.
func (k *known) is(s dirwatch.Stamp) bool { return k.stamp.Is(s, k.read) }

// table is what is known of the directory.
type table struct {
	files     map[string]*known          // by name
	servers   map[string]string          // the file that a campaign's classifier is of
	priors    map[uint64]string          // the file that a prior is of
	outranked map[string]map[string]bool // other files of campaigns
}

func newTable() table {
	return table{files: map[string]*known{}, servers: map[string]string{}, priors: map[uint64]string{}, outranked: map[string]map[string]bool{}}
}

// file returns what is known of a file, and makes it known.
func (t *table) file(name string) *known {
	k := t.files[name]
	if k == nil {
		k = &known{}
		t.files[name] = k
	}
	return k
}

// settle forgets what a file's contents were, but for what serves of them.
func (t *table) settle(name string, k *known) {
	if k.outranked {
		if delete(t.outranked[k.campaign], name); len(t.outranked[k.campaign]) == 0 {
			delete(t.outranked, k.campaign)
		}
	}
	k.waits, k.campaign, k.outranked, k.fault, k.since = 0, "", false, nil, time.Time{}
}

// outrank notes that another file of the campaign serves.
func (t *table) outrank(name string, k *known, campaign string, now time.Time) {
	t.settle(name, k)
	k.campaign, k.outranked, k.since = campaign, true, now
	if t.outranked[campaign] == nil {
		t.outranked[campaign] = map[string]bool{}
	}
	t.outranked[campaign][name] = true
}

// rivals lists the files that a campaign's server outranks.
func (t *table) rivals(campaign string) (names []string) {
	for name := range t.outranked[campaign] {
		names = append(names, name)
	}
	return names
}

// waiting lists the files that wait for a prior.
func (t *table) waiting(prior uint64) (names []string) {
	for name, k := range t.files {
		if k.waits == prior {
			names = append(names, name)
		}
	}
	return names
}
