package modelstest

import (
	"testing"

	"gavel/internal/models"
)

func TestMemory(t *testing.T) {
	Suite(t, func(t *testing.T) models.Store {
		s := NewMemory(t.TempDir())
		t.Cleanup(func() {
			if n := s.Copies(); n != 0 {
				t.Errorf("%d fetched versions were not released", n)
			}
		})
		return s
	})
}
