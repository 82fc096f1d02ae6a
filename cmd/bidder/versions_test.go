package main

import (
	"testing"
	"time"

	"gavel/internal/batcher"
	"gavel/internal/console"
)

// The queue of the next version begins with what the model's busiest queue has learnt.
func TestOptionsOfNextVersion(t *testing.T) {
	v := &versions{queues: console.NewQueues()}
	stable := newVersion(t, newPool(t), 1, batcher.QueueOptions{}, new(testEngine)).parts.queue
	v.queues.Add("ctr", stable)
	ticket, err := stable.Claim(1, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	ticket.Abandon()
	o := v.optionsOf("ctr", 7, batcher.QueueOptions{MaxRows: 8})
	if want := (batcher.QueueOptions{Name: "ctr/7", MaxRows: 8, Predecessor: stable}); o != want {
		t.Errorf("the next version's options are %+v, want %+v", o, want)
	}
}
