package process

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// newParts returns Parts with a log that the test reads, and a function that makes a step. The step and its stop append
// to order.
func newParts() (p *Parts, log *bytes.Buffer, order *[]string, step func(name string, fault error) Step) {
	log, order = new(bytes.Buffer), new([]string)
	p = NewParts("test", slog.New(slog.NewTextHandler(log, nil)))
	return p, log, order, func(name string, fault error) Step {
		return Step{name, func(context.Context) error {
			*order = append(*order, "start "+name)
			if fault != nil {
				return fault
			}
			p.OnStop(name, time.Second, func(context.Context) error {
				*order = append(*order, "stop "+name)
				return nil
			})
			return nil
		}}
	}
}

func TestPartsStopInReverseOrder(t *testing.T) {
	p, log, order, step := newParts()
	if err := p.Start(t.Context(), []Step{step("a", nil), step("b", nil)}); err != nil {
		t.Fatal(err)
	}
	if err := p.Stop(); err != nil {
		t.Error(err)
	}
	if got := strings.Join(*order, ", "); got != "start a, start b, stop b, stop a" {
		t.Error(got)
	}
	if !strings.Contains(log.String(), "msg=stopped part=b took_ms=0") {
		t.Errorf("no line for b in:\n%s", log)
	}
	if err := p.Stop(); err != nil || len(*order) != 4 {
		t.Errorf("a second Stop: %v, %v", err, *order)
	}
}

func TestPartsStopWhatStartedBeforeAFault(t *testing.T) {
	p, _, order, step := newParts()
	fault := errors.New("port taken")
	p.OnStop("bad", time.Second, func(context.Context) error { return errors.New("stuck") })
	err := p.Start(t.Context(), []Step{step("a", nil), step("b", fault), step("c", nil)})
	if !errors.Is(err, fault) || err.Error() != "test: cannot start b: port taken\ntest: cannot stop bad cleanly: stuck" {
		t.Error(err)
	}
	if got := strings.Join(*order, ", "); got != "start a, start b, stop a" {
		t.Error(got)
	}
}

func TestPartsWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _, _, _ := newParts()
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if err := p.Wait(ctx); err != nil {
			t.Errorf("the context ended: %v", err)
		}
		first := errors.New("first")
		p.Fail(first)
		p.Fail(errors.New("second"))
		if err := p.Wait(t.Context()); err != first {
			t.Errorf("after two failures: %v", err)
		}
	})
}

func TestPartsBoundEachStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _, _, _ := newParts()
		release := make(chan struct{})
		ended := false
		p.Loop("ends", time.Second, func(ctx context.Context) error {
			<-ctx.Done()
			time.Sleep(time.Second / 2)
			ended = true
			return nil
		})
		p.Loop("hangs", 3*time.Second, func(context.Context) error { <-release; return nil })
		began := time.Now()
		err := p.Stop()
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "cannot stop hangs cleanly") {
			t.Error(err)
		}
		if took := time.Since(began); took != 3500*time.Millisecond || !ended {
			t.Errorf("took %v, the loop that ends has ended: %v", took, ended)
		}
		close(release)
	})
}
