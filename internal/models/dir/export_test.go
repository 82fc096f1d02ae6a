package dir

import (
	"context"
	"time"
)

// NewImpatient is New, for a store whose objects stay fresh for a short time.
func NewImpatient(root string, fresh time.Duration) *Store { return &Store{root: root, fresh: fresh} }

// HoldObjects takes the lock of the objects as writers do.
func (s *Store) HoldObjects(ctx context.Context) (release func(), err error) {
	return s.holdObjects(ctx, false)
}
