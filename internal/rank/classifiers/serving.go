package classifiers

import "time"

// A Serving is a classifier that serves, as its file describes it.
type Serving struct {
	Campaign  string
	Version   uint64
	Prior     uint64 // that its weights are deltas to; 0: none
	Trained   time.Time
	Rows      int64 // examples that it was trained on
	Positives int64 // of these, with a sale
	Weights   int64
	Updates   int // how often its file was replaced since the monitor started
}

// Serving lists the classifiers that serve, in any order.
func (m *Monitor) Serving() []Serving {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := make([]Serving, 0, len(m.table.servers))
	for campaign, name := range m.table.servers {
		k := m.table.files[name]
		s, a := k.served, &k.served.about
		all = append(all, Serving{Campaign: campaign, Version: s.version, Prior: s.prior, Trained: time.UnixMilli(a.trainedMs),
			Rows: a.rows, Positives: a.positives, Weights: a.weights, Updates: k.loads - 1})
	}
	return all
}
