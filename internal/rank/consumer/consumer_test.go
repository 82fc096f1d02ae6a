package consumer

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gavel/internal/datasets"
	"gavel/internal/events/codec"
	"gavel/internal/stream"
	"gavel/internal/stream/memory"
)

// A consumer that is stopped and started again and again makes the same data set as one joiner that reads everything at once.
func TestConsumer(t *testing.T) {
	ctx := t.Context()
	random := rand.New(rand.NewPCG(3, 4))
	s := memory.New(nil)
	messages := randomStream(random)
	base := time.Now().UnixMilli()
	var want []datasets.Row
	joiner := NewJoiner(testWindow, testReorder, 1000, []string{"country"}, Position{})
	root := t.TempDir()
	for i, m := range messages {
		for k := range m.Events {
			m.Events[k].Time += base
		}
		if i == len(messages)-1 {
			m.Events = append(m.Events, tick(base+2000)) // everything is due
		}
		if _, err := s.Publish(ctx, []stream.Message{{ID: fmt.Sprint(i), Source: "test", Data: codec.Encode(m.Events)}}); err != nil {
			t.Fatal(err)
		}
		m.Time = time.Now()
		want = joiner.Add(&m, want)
		if random.IntN(4) == 0 || i == len(messages)-1 {
			consume(t, s, root)
		}
	}
	var got []datasets.Row
	paths, err := filepath.Glob(filepath.Join(root, "sales", "shoes", "*.parquet"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths { // Glob sorts by name, and these times have equally many digits
		rows, err := datasets.ReadFile(path, []string{"country"})
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, rows...)
	}
	if len(want) < 40 || !reflect.DeepEqual(got, want) {
		t.Errorf("%d rows on disk\n%+v\nwant %d\n%+v", len(got), got, len(want), want)
	}
	if _, err := os.Stat(filepath.Join(root, "sales", "shoes", "ended")); err != nil {
		t.Errorf("the campaign is not active, and not marked: %v", err)
	}
}

// consume runs a consumer until it has read the whole stream.
func consume(t *testing.T, s *memory.Stream, root string) {
	t.Helper()
	set, err := datasets.Open(root, "sales", datasets.Options{Fields: []string{"country"}})
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	c, err := New(Options{
		Stream: atEnd{s, cancel}, Set: set, Window: testWindow, Reorder: testReorder,
		Metrics: NewMetrics(prometheus.NewRegistry()), Active: func() []string { return []string{"hats"} },
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Run(ctx); err != nil {
		t.Fatal(err)
	}
}

// atEnd ends a context when a reader has returned what the stream held.
type atEnd struct {
	*memory.Stream
	cancel func()
}

func (s atEnd) Open(ctx context.Context, from stream.Cursor) (stream.Reader, error) {
	r, err := s.Stream.Open(ctx, from)
	return reader{r, s.cancel}, err
}

type reader struct {
	stream.Reader
	cancel func()
}

func (r reader) Next(ctx context.Context) (stream.Entry, error) {
	e, err := r.Reader.Next(ctx)
	if err == nil && e.At.Compare(r.Last()) >= 0 {
		r.cancel()
	}
	return e, err
}

func TestOptions(t *testing.T) {
	if _, err := New(Options{Reorder: -1}); err == nil {
		t.Error("a window of 0 and a negative reorder were taken")
	}
}
