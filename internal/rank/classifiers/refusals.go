package classifiers

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"gavel/internal/dirwatch"
)

// A Refusal is a file whose contents do not serve.
type Refusal struct {
	File   string
	Reason string
	Remedy string
	Since  time.Time
	// Serves is the version that serves of this file all the same: what it held before. 0 if none.
	Serves uint64
}

// Refused lists the files whose contents do not serve, by name: those that are refused, that wait for a prior, or whose campaign has
// a higher version in another file.
func (m *Monitor) Refused() []Refusal {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := []Refusal{}
	for name, k := range m.table.files {
		if r := k.refusal(name, m.table.servers[k.campaign]); r != nil {
			all = append(all, *r)
		}
	}
	slices.SortFunc(all, func(a, b Refusal) int { return cmp.Compare(a.File, b.File) })
	return all
}

// refusal is nil if the file's contents serve.
func (k *known) refusal(name, server string) *Refusal {
	r := Refusal{File: name, Since: k.since}
	if k.served != nil {
		r.Serves = k.served.version
	}
	switch {
	case k.fault != nil:
		r.Reason, r.Remedy = k.fault.Error(), remedy(k.fault)
	case k.waits != 0:
		r.Reason = fmt.Sprintf("classifiers: it waits for prior %d", k.waits)
		r.Remedy = fmt.Sprintf("publish prior.%d%s; or retrain the campaign on a prior that is there", k.waits, Suffix)
	case k.outranked:
		r.Reason = fmt.Sprintf("classifiers: campaign %q has a higher or equal version in %s", k.campaign, server)
		r.Remedy = "remove one of the two files"
	default:
		return nil
	}
	return &r
}

// remedy says what to do about a file that is refused.
func remedy(fault error) string {
	switch {
	case errors.Is(fault, ErrDamaged):
		return "write it in " + aside + " and rename it into place; it is read again when it changes"
	case errors.Is(fault, ErrLayout):
		return "update the ranker, or write the layout that it knows"
	case errors.Is(fault, ErrContents):
		return "write what docs/classifier-files.md allows"
	case errors.Is(fault, ErrGolden):
		return "retrain it with a trainer of the ranker's release: the two compute differently"
	case errors.Is(fault, errUnreadable):
		return "let the ranker's user read it; it is read again at the next rescan"
	}
	return "see the reason; it is read again at the next rescan"
}

// refuse notes that a file's contents are refused.
func (m *Monitor) refuse(name string, k *known, fault error) {
	k.fault, k.since = fault, time.Now()
	ofFile := false
	for _, is := range []error{ErrDamaged, ErrLayout, ErrContents, ErrGolden} {
		ofFile = ofFile || errors.Is(fault, is)
	}
	if !ofFile {
		k.stamp = dirwatch.Stamp{} // the next rescan tries again
	}
	m.report(name, k)
}

// report counts and logs a file whose contents do not serve.
func (m *Monitor) report(name string, k *known) {
	result := "refused"
	switch {
	case k.fault != nil:
	case k.waits != 0:
		result = "waiting"
	default:
		result = "outranked"
	}
	m.metrics.read.WithLabelValues(result).Inc()
	r := k.refusal(name, m.table.servers[k.campaign])
	m.throttle.Warn(m.options.Log, "a classifier file does not serve", "file", name, "reason", r.Reason, "remedy", r.Remedy, "serves_version", r.Serves)
}
