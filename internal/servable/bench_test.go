package servable

import "testing"

func BenchmarkAcquireRelease(b *testing.B) {
	s := &Servable{onZero: func(*Servable) {}, manifest: manifestOf(b, fixture(b, "a"))}
	s.refs.Store(1)
	m := &Manager{}
	m.current.Store(newServing(s, nil, 0))
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if s, err := m.Acquire(1); err == nil {
				s.Release()
			}
		}
	})
}
