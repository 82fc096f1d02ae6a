package tensorflow

import (
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/vmihailenco/msgpack/v5"
	"go.uber.org/goleak"

	"gavel/internal/engine"
	"gavel/internal/engine/tensorflow/tensorflowtest"
)

func TestMain(m *testing.M) {
	flag.Parse()
	code := m.Run()
	tensorflowtest.Remove()
	if s, b, r := Live(); code == 0 && s+b+r != 0 {
		fmt.Fprintf(os.Stderr, "left behind: %d sessions, %d batches, %d row memories\n", s, b, r)
		code = 1
	}
	if err := goleak.Find(); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// fixture is a version that Python wrote, as its manifest describes it.
func fixture(t testing.TB, name string) engine.Version {
	t.Helper()
	dir := filepath.Join(tensorflowtest.Versions(t), name)
	var manifest struct {
		RowLen    int              `json:"row_len"`
		TableRows int              `json:"table_rows"`
		Signature engine.Signature `json:"signature"`
	}
	data, err := os.ReadFile(filepath.Join(dir, "assets.extra", "manifest.json"))
	if err == nil {
		err = json.Unmarshal(data, &manifest)
	}
	if err != nil {
		t.Fatal(err)
	}
	return engine.Version{Model: "ctr", Number: 1, Dir: dir,
		RowLen: manifest.RowLen, TableRows: manifest.TableRows, Signature: manifest.Signature}
}

// tolerance is how far probabilities of one row may be apart: TensorFlow sums in another order for another batch size.
const tolerance = 1e-6

// golden is rows with the probabilities that Python computed.
type golden struct {
	n, f int
	x    []int32   // [n, f]
	p    []float32 // [n]
}

func readGolden(t testing.TB, dir string) *golden {
	t.Helper()
	var wire struct {
		N int    `msgpack:"n"`
		F int    `msgpack:"f"`
		X []byte `msgpack:"x"`
		P []byte `msgpack:"p"`
	}
	data, err := os.ReadFile(filepath.Join(dir, "assets.extra", "golden.msgpack"))
	if err == nil {
		err = msgpack.Unmarshal(data, &wire)
	}
	if err != nil {
		t.Fatal(err)
	}
	g := &golden{n: wire.N, f: wire.F}
	for i := range g.n * g.f {
		g.x = append(g.x, int32(binary.LittleEndian.Uint32(wire.X[4*i:])))
	}
	for i := range g.n {
		g.p = append(g.p, math.Float32frombits(binary.LittleEndian.Uint32(wire.P[4*i:])))
	}
	return g
}

// opened is a fixture's session, closed when the test ends.
func opened(t testing.TB, name string) (*Session, *golden) {
	t.Helper()
	v := fixture(t, name)
	s, err := open(v, Options{Threading: benchThreading})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, readGolden(t, v.Dir)
}

func newBatch(t testing.TB, s *Session, capacity int) engine.Batch {
	t.Helper()
	b, err := s.NewBatch(capacity)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func rowsOf(b engine.Batch) []int32            { return b.Inputs()[0].Int32 }
func probabilitiesOf(b engine.Batch) []float32 { return b.Outputs()[0].Float32 }
