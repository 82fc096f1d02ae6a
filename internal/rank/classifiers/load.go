package classifiers

import (
	"fmt"

	"gavel/internal/dirwatch"
)

// Load reads a campaign's classifier again, for a sink that had no room for it. It returns what the file holds now, which may be newer
// than what was handed to the sink. It changes nothing that the monitor knows, and may be called by another goroutine than Run's.
func (m *Monitor) Load(campaign string) (*File, error) {
	m.mu.Lock()
	name, serves := m.table.servers[campaign]
	m.mu.Unlock()
	if !serves {
		return nil, fmt.Errorf("classifiers: no file serves campaign %q", campaign)
	}
	r := m.readFile(name, dirwatch.StampOf(m.options.Dir, name))
	switch {
	case r.fault != nil:
		return nil, fmt.Errorf("%s: %w", name, r.fault)
	case r.file == nil:
		return nil, fmt.Errorf("classifiers: %s was removed", name)
	case r.file.Kind != Classifier || r.file.Campaign != campaign:
		return nil, fmt.Errorf("classifiers: %s holds another campaign now, %q", name, r.file.Campaign)
	}
	return r.file, nil
}
