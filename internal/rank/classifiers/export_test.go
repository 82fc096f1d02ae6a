package classifiers

// Stall has f called before each notification is taken. It must be called before Run.
func (m *Monitor) Stall(f func()) { m.follower.Stall(f) }
