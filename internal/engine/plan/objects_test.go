package plan

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"unsafe"

	"gavel/internal/engine/plan/plantest"
)

// stored is a directory with one object.
func stored(t testing.TB) (objects *Objects, sum string) {
	t.Helper()
	sum, file := plantest.Of([]float64{1, 2, 3, 4, 5, 6}, 2, 3).Object()
	objects = NewObjects(t.TempDir())
	if err := os.WriteFile(filepath.Join(objects.dir, sum), file, 0o444); err != nil {
		t.Fatal(err)
	}
	return objects, sum
}

func TestObjectsAreShared(t *testing.T) {
	objects, sum := stored(t)
	one, err := objects.acquire(sum, "a version 1")
	if err != nil {
		t.Fatal(err)
	}
	two, err := objects.acquire(sum, "a version 2")
	if err != nil {
		t.Fatal(err)
	}
	if one != two || one.String() != "float64[2, 3]" || !slices.Equal(values[float64](one), []float64{1, 2, 3, 4, 5, 6}) {
		t.Errorf("%v and %v", one, two)
	}
	if uintptr(one.pointer())%align != 0 {
		t.Error("values are not aligned")
	}
	size := int64(64 + 48)
	if own, shared := objects.Memory("a version 1"); own != 0 || shared != size {
		t.Errorf("it owns %d and shares %d bytes", own, shared)
	}
	if u := objects.Uses(); len(u) != 1 || u[0].Kind != "float64[2, 3]" || !slices.Equal(u[0].Users, []string{"a version 1", "a version 2"}) {
		t.Errorf("%+v", u)
	}
	objects.release(sum, "a version 2")
	if own, shared := objects.Memory("a version 1"); own != size || shared != 0 {
		t.Errorf("alone it owns %d and shares %d bytes", own, shared)
	}
	objects.release(sum, "a version 1")
	if n := objects.live(); n != liveBlocks.Load() || len(objects.Uses()) != 0 {
		t.Errorf("%d are left", n)
	}
}

// Versions are loaded and freed side by side.
func TestObjectsConcurrently(t *testing.T) {
	objects, sum := stored(t)
	var users sync.WaitGroup
	for range 8 {
		users.Go(func() {
			for range 200 {
				o, err := objects.acquire(sum, "m version 1")
				if err != nil {
					t.Error(err)
					return
				}
				if values[float64](o)[5] != 6 {
					t.Error("another object")
				}
				objects.release(sum, "m version 1")
			}
		})
	}
	users.Wait()
	if len(objects.open) != 0 {
		t.Error("objects are left open")
	}
}

func TestContentIsCheckedOnce(t *testing.T) {
	objects, sum := stored(t)
	o, err := objects.acquire(sum, "m version 1")
	if err != nil {
		t.Fatal(err)
	}
	defer objects.release(sum, "m version 1")
	calls, bad := 0, errors.New("bad")
	for range 3 {
		if err := o.once("sorted", func() error { calls++; return bad }); err != bad {
			t.Error(err)
		}
	}
	if err := o.once("below 7", func() error { return nil }); err != nil || calls != 1 {
		t.Errorf("%v, %d calls", err, calls)
	}
}

func TestDamagedObjects(t *testing.T) {
	sum, sound := plantest.Of([]int32{1, 2, 3, 4, 5, 6}, 2, 3).Object()
	f := func(name string, change func(file []byte) []byte, want string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			objects := NewObjects(t.TempDir())
			if err := os.WriteFile(filepath.Join(objects.dir, sum), change(slices.Clone(sound)), 0o444); err != nil {
				t.Fatal(err)
			}
			if _, err := objects.acquire(sum, "m version 1"); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), sum) {
				t.Errorf("%v, want %q", err, want)
			}
			if len(objects.open) != 0 {
				t.Error("it is left open")
			}
		})
	}
	put := func(at int, value uint64) func([]byte) []byte {
		return func(file []byte) []byte { binary.LittleEndian.PutUint64(file[at:], value); return file }
	}
	f("empty", func([]byte) []byte { return nil }, "is not a regular file of 64")
	f("cut off", func(file []byte) []byte { return file[:len(file)-1] }, "it has 23 bytes of values; int32[2, 3] has 24")
	f("longer", func(file []byte) []byte { return append(file, 0) }, "it has 25 bytes of values")
	f("another magic", put(0, 7), "its header is not")
	f("a newer version", func(file []byte) []byte { file[8] = 2; return file }, "its header is not")
	f("no such type", func(file []byte) []byte { file[12] = 8; return file }, "its header is not")
	f("five dimensions", func(file []byte) []byte { file[16] = 5; return file }, "its header is not")
	f("something in the gap", func(file []byte) []byte { file[63] = 1; return file }, "its header is not")
	f("a dimension too many", put(40, 2), "dimension 2 is 2; it has 2 dimensions")
	f("a product that overflows", func(file []byte) []byte { return put(24, 1<<31-1)(put(32, 1<<31-1)(file)) }, "which is too large")
	f("a huge dimension", put(24, 1<<63), "which is too large")
	f("another value", func(file []byte) []byte { file[70] ^= 1; return file }, "its sha256 is")
	f("another shape", func(file []byte) []byte { return put(24, 3)(put(32, 2)(file)) }, "its sha256 is")

	objects := NewObjects(t.TempDir())
	if _, err := objects.acquire(sum, "m version 1"); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	if err := os.Symlink("/dev/zero", filepath.Join(objects.dir, sum)); err != nil {
		t.Fatal(err)
	}
	if _, err := objects.acquire(sum, "m version 1"); err == nil {
		t.Error("a link was followed")
	}
}

func FuzzParseObject(f *testing.F) {
	for _, x := range []plantest.Tensor{
		plantest.Of([]uint8{1}), plantest.Of([]float64{}, 0, 5), plantest.Of([]int32{1, 2, 3, 4, 5, 6}, 1, 2, 3), plantest.Of(make([]uint64, 16), 2, 2, 2, 2),
	} {
		_, file := x.Object()
		f.Add(file)
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		if len(file) < objectHeader {
			return
		}
		sum := sumOf(file)
		o, err := parseObject(file, sum)
		if err != nil {
			return
		}
		n := objectTypes[o.of].size
		for _, d := range o.dims {
			n *= d
		}
		if n != len(file)-objectHeader || len(o.dims) > 4 || unsafe.SliceData(o.data) == nil {
			t.Errorf("%v of %d bytes", o, len(file))
		}
	})
}
