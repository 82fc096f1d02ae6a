package dir_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gavel/internal/models"
	"gavel/internal/models/dir"
	"gavel/internal/models/modelstest"
)

// object is some content and its name.
func object(i int) (sum string, content []byte) {
	content = bytes.Repeat([]byte{byte(i)}, 100)
	s := sha256.Sum256(content)
	return hex.EncodeToString(s[:]), content
}

// writeObject writes an object as writers must: under the lock, touched if it is there, renamed into place.
func writeObject(t testing.TB, s *dir.Store, i int) (sum string) {
	t.Helper()
	release, err := s.HoldObjects(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	sum, content := object(i)
	path := filepath.Join(s.String(), models.ObjectsDir, sum)
	now := time.Now()
	if err := os.Chtimes(path, now, now); err == nil {
		return sum
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+sum+"-*")
	if err == nil {
		_, err = f.Write(content)
	}
	if err == nil {
		err = errors.Join(f.Close(), os.Rename(f.Name(), path))
	}
	if err != nil {
		t.Fatal(err)
	}
	return sum
}

// stage stages a version that names objects which its caller has written.
func stage(t testing.TB, s *dir.Store, model string, version int64, sums ...string) (staged string) {
	t.Helper()
	staged = modelstest.Stage(t, s, model, version, 0)
	modelstest.EditManifest(t, staged, func(m map[string]any) {
		named := map[string]any{}
		for _, sum := range sums {
			named[sum] = 100
		}
		m["objects"] = named
	})
	return staged
}

func publish(t testing.TB, s *dir.Store, model string, version int64, objects ...int) {
	t.Helper()
	var sums []string
	for _, i := range objects {
		sums = append(sums, writeObject(t, s, i))
	}
	if _, err := models.Publish(t.Context(), s, model, version, stage(t, s, model, version, sums...)); err != nil {
		t.Fatal(err)
	}
}

// wantObjects checks which of the objects 0 to 9 are there.
func wantObjects(t testing.TB, s *dir.Store, when string, want ...int) {
	t.Helper()
	var got []int
	for i := range 10 {
		sum, _ := object(i)
		if _, err := os.Stat(filepath.Join(s.String(), models.ObjectsDir, sum)); err == nil {
			got = append(got, i)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s: there are objects %v, want %v", when, got, want)
	}
}

func remove(t testing.TB, s *dir.Store, model string, versions ...int64) {
	t.Helper()
	_, at, err := s.Pointer(t.Context(), model)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Remove(t.Context(), model, versions, at); err != nil {
		t.Fatal(err)
	}
}

func sweep(t testing.TB, s *dir.Store) models.Swept {
	t.Helper()
	done, err := s.Sweep(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return done
}

// tick passes the grain of the file system's clock, so that what comes next is later.
func tick() { <-time.After(15 * time.Millisecond) }

func TestObjectsGoWithTheLastVersionThatNamesThem(t *testing.T) {
	s := dir.New(t.TempDir())
	for v := range int64(4) {
		publish(t, s, "a", v+1, 0, 1+int(v))
		tick()
	}
	publish(t, s, "b", 1, 0, 2)
	wantObjects(t, s, "published", 0, 1, 2, 3, 4)
	remove(t, s, "a", 1)
	wantObjects(t, s, "the only version with 1 is gone", 0, 2, 3, 4)
	remove(t, s, "a", 2)
	wantObjects(t, s, "b still names 2", 0, 2, 3, 4)
	if _, err := models.Retain(t.Context(), s, "a", 1); err != nil {
		t.Fatal(err)
	}
	wantObjects(t, s, "the pointer names 3 and 4", 0, 2, 3, 4)
	publish(t, s, "a", 5, 5)
	publish(t, s, "a", 6, 6)
	tick()
	writeObject(t, s, 3) // for a version to come
	if removed, err := models.Retain(t.Context(), s, "a", 2); err != nil || !slices.Equal(removed, []int64{3, 4}) {
		t.Fatal(removed, err)
	}
	wantObjects(t, s, "3 was touched meanwhile", 0, 2, 3, 5, 6)
}

func TestSweep(t *testing.T) {
	root := t.TempDir()
	s, later := dir.New(root), dir.NewImpatient(root, 0)
	if done := sweep(t, s); done != (models.Swept{}) {
		t.Errorf("a store without objects: %+v", done)
	}
	publish(t, s, "a", 1, 0)
	orphan := writeObject(t, s, 1)
	stray := filepath.Join(root, models.ObjectsDir, "."+orphan+"-xyz")
	modelstest.WriteFile(t, stray, "half")
	modelstest.WriteFile(t, filepath.Join(root, "a", ".staging", "trash-1", "7", "file"), "of a version whose remover was killed")
	modelstest.WriteFile(t, filepath.Join(root, models.ObjectsDir, "README"), "of an operator")
	if done := sweep(t, s); done != (models.Swept{Fresh: 1, Strays: 1}) {
		t.Errorf("fresh: %+v", done)
	}
	tick()
	if done := sweep(t, later); done != (models.Swept{Removed: 1, Bytes: 100, Strays: 1}) {
		t.Errorf("stale: %+v", done)
	}
	if _, err := os.Stat(filepath.Join(root, models.ObjectsDir, "README")); err != nil {
		t.Error("a sweep removed what is no object")
	}
	wantObjects(t, s, "swept", 0)

	staged := stage(t, s, "a", 2, writeObject(t, s, 2))
	tick()
	sweep(t, later)
	if err := models.Place(t.Context(), s, "a", 2, staged); err == nil || !strings.Contains(err.Error(), "write the version's objects again") {
		t.Errorf("its object was swept: %v", err)
	}
	writeObject(t, s, 2)
	if err := models.Place(t.Context(), s, "a", 2, staged); err != nil {
		t.Errorf("its object is there again: %v", err)
	}

	writeObject(t, s, 3)
	tick()
	for _, damage := range []string{"{", `{"files": {"plan/plan.msgpack": "x"}}`} {
		modelstest.WriteFile(t, filepath.Join(root, "b", "7", models.ManifestFile), damage)
		if _, err := later.Sweep(t.Context()); err == nil || !strings.Contains(err.Error(), "repair or remove them: b version 7: ") {
			t.Errorf("a version whose objects are not known: %v", err)
		}
	}
	wantObjects(t, s, "nothing is swept while it is not known", 0, 2, 3)
}

func TestListObjects(t *testing.T) {
	root := t.TempDir()
	s := dir.New(root)
	publish(t, s, "a", 1, 0, 1)
	publish(t, s, "b", 3, 0, 2)
	writeObject(t, s, 3)
	lost, _ := object(1)
	damaged, _ := object(2)
	if err := os.Remove(filepath.Join(root, models.ObjectsDir, lost)); err != nil {
		t.Fatal(err)
	}
	modelstest.WriteFile(t, filepath.Join(root, models.ObjectsDir, damaged), "x")
	all, err := s.ListObjects(t.Context())
	if err != nil || len(all) != 4 {
		t.Fatalf("%v, %v", all, err)
	}
	for i, want := range []models.Object{
		{Bytes: 100, Fresh: true, Named: []string{"a version 1", "b version 3"}}, {Bytes: -1, Named: []string{"a version 1"}},
		{Bytes: 1, Fresh: true, Named: []string{"b version 3"}}, {Bytes: 100, Fresh: true},
	} {
		want.Sum, _ = object(i)
		at := slices.IndexFunc(all, func(o models.Object) bool { return o.Sum == want.Sum })
		if at < 0 || fmt.Sprint(all[at]) != fmt.Sprint(want) {
			t.Errorf("object %d is not as wanted, %+v, in %+v", i, want, all)
		}
		if err := s.CheckObject(t.Context(), want.Sum); (err == nil) != (want.Bytes == 100) {
			t.Errorf("object %d: %v", i, err)
		}
	}
	if err := s.CheckObject(t.Context(), "../a/1"); err == nil {
		t.Error("a path passed as an object")
	}
}

// The environment of a process of TestKilled: what it does, and in which store.
const roleKey, rootKey, fresh = "GAVEL_TEST_ROLE", "GAVEL_TEST_ROOT", 50 * time.Millisecond

// Writers and sweepers of a store are killed at any point: no version ever names an object that is missing, and afterwards one
// sweep leaves exactly what versions name.
func TestKilled(t *testing.T) {
	if role := os.Getenv(roleKey); role != "" {
		work(t, role, dir.NewImpatient(os.Getenv(rootKey), fresh))
		return
	}
	t.Parallel()
	root := t.TempDir()
	s := dir.NewImpatient(root, 0)
	until := time.Now().Add(3 * time.Second)
	var processes sync.WaitGroup
	for _, role := range []string{"a", "b", "sweep"} {
		processes.Go(func() {
			for time.Now().Before(until) {
				c := exec.Command(os.Args[0], "-test.run=^TestKilled$")
				c.Env = append(os.Environ(), roleKey+"="+role, rootKey+"="+root)
				if err := c.Start(); err != nil {
					t.Error(err)
					return
				}
				time.AfterFunc(50*time.Millisecond+rand.N(300*time.Millisecond), func() { _ = c.Process.Kill() })
				if err := c.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
					t.Errorf("%s: %v", role, err)
				}
			}
		})
	}
	for time.Now().Before(until) {
		whole(t, s)
		<-time.After(time.Millisecond)
	}
	processes.Wait()
	if whole(t, s) == 0 {
		t.Error("no version was published")
	}
	tick()
	sweep(t, s)
	all, err := s.ListObjects(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range all {
		if o.Bytes < 0 || len(o.Named) == 0 {
			t.Errorf("after the sweep: %+v", o)
		}
	}
	if files, err := os.ReadDir(filepath.Join(root, models.ObjectsDir)); err != nil || len(files) != len(all)+1 {
		t.Errorf("%d files for %d objects and the lock, %v", len(files), len(all), err)
	}
}

// whole checks, while no sweep runs, that all named objects are there, and returns how many there are.
func whole(t *testing.T, s *dir.Store) (named int) {
	t.Helper()
	release, err := s.HoldObjects(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	all, err := s.ListObjects(t.Context())
	if err != nil {
		t.Error(err)
	}
	for _, o := range all {
		if len(o.Named) > 0 {
			named++
		}
		if o.Bytes < 0 {
			t.Errorf("object %s is missing, and %v name it", o.Sum, o.Named)
		}
	}
	return named
}

// work publishes versions of the model, or sweeps, until it is killed.
func work(t *testing.T, role string, s *dir.Store) {
	for role == "sweep" {
		sweep(t, s)
	}
	for {
		version, err := models.NextVersion(t.Context(), s, role)
		if err != nil {
			t.Fatal(err)
		}
		var sums []string
		for range 3 {
			sums = append(sums, writeObject(t, s, rand.N(8)))
			<-time.After(rand.N(10 * time.Millisecond)) // sometimes too late
		}
		if _, err := models.Publish(t.Context(), s, role, version, stage(t, s, role, version, sums...)); err != nil {
			if !strings.Contains(err.Error(), "write the version's objects again") {
				t.Fatal(err)
			}
			continue
		}
		if _, err := models.Retain(t.Context(), s, role, 2); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	}
}

// The stamp of a model changes with its versions and its pointer, also where a person edits that in place.
func TestStamp(t *testing.T) {
	t.Parallel() // it waits for the clock of the file system
	s := dir.New(t.TempDir())
	var last uint64
	f := func(when string, changes bool) {
		t.Helper()
		if stamp, ok := s.Stamp(t.Context(), "a"); ok && when != "nothing" {
			t.Errorf("%s: a stamp of %x at once", when, stamp)
		}
		<-time.After(1100 * time.Millisecond)
		stamp, ok := s.Stamp(t.Context(), "a")
		if !ok || (stamp != last) != changes {
			t.Errorf("%s: stamp %x, %v, before %x", when, stamp, ok, last)
		}
		last = stamp
	}
	f("nothing", true)
	modelstest.Place(t, s, "a", 1, 0)
	f("a version", true)
	if _, err := models.Promote(t.Context(), s, "a", 1); err != nil {
		t.Fatal(err)
	}
	f("a pointer", true)
	pointer := filepath.Join(s.String(), "a", dir.PointerFile)
	data, err := os.ReadFile(pointer)
	if err != nil {
		t.Fatal(err)
	}
	modelstest.WriteFile(t, pointer, string(data)+" ")
	f("an edit in place", true)
	if again, ok := s.Stamp(t.Context(), "a"); !ok || again != last {
		t.Error("the stamp changed, and nothing else did")
	}
}
