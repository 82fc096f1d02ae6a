package dir

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync"

	"github.com/fsnotify/fsnotify"

	"gavel/internal/models"
)

// MaxWatches is how many models' directories are watched at most: the kernel has a bound for the user as a whole, and
// others need some too. Changes of further models are found by polling.
const MaxWatches = 64

// Notices implements models.Notifier by the kernel's notices of files (inotify). One instance watches all models, a
// directory each; what happens inside a version's directory is not told.
func (s *Store) Notices() (models.Notices, error) {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, fmt.Errorf("models: cannot watch %s: %w", s.root, err)
	}
	n := &notices{root: s.root, watcher: w, watched: map[string]bool{}, c: make(chan string), done: make(chan struct{})}
	n.loop.Go(n.noticeLoop)
	return n, nil
}

type notices struct {
	root    string
	watcher *fsnotify.Watcher
	c       chan string // unbuffered: the kernel's queue is long enough
	done    chan struct{}
	loop    sync.WaitGroup

	mu      sync.Mutex
	watched map[string]bool // by model
}

// Add implements models.Notices.
func (n *notices) Add(model string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.watched[model] || len(n.watched) >= MaxWatches {
		return
	}
	if n.watcher.Add(filepath.Join(n.root, model)) == nil { // else it does not exist yet: polling asks again
		n.watched[model] = true
	}
}

// Remove implements models.Notices.
func (n *notices) Remove(model string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.watched[model] {
		delete(n.watched, model)
		_ = n.watcher.Remove(filepath.Join(n.root, model)) // gone already with its directory
	}
}

// C implements models.Notices.
func (n *notices) C() <-chan string { return n.c }

// Close implements models.Notices.
func (n *notices) Close() error {
	close(n.done)
	err := n.watcher.Close()
	n.loop.Wait()
	return err
}

// noticeLoop turns the kernel's notices into names of models until Close.
func (n *notices) noticeLoop() {
	defer close(n.c)
	for {
		var models []string
		select {
		case e, ok := <-n.watcher.Events:
			if !ok {
				return
			}
			models = append(models, n.modelOf(e))
		case err, ok := <-n.watcher.Errors:
			if !ok {
				return
			}
			if errors.Is(err, fsnotify.ErrEventOverflow) { // some were lost, whose is not known
				models = n.all()
			}
		}
		for _, model := range models {
			select {
			case n.c <- model:
			case <-n.done:
				return
			}
		}
	}
}

// modelOf is the model that an event is of. The directory of a model may itself be removed; then its watch is gone.
func (n *notices) modelOf(e fsnotify.Event) string {
	if filepath.Dir(e.Name) != filepath.Clean(n.root) {
		return filepath.Base(filepath.Dir(e.Name))
	}
	model := filepath.Base(e.Name)
	if e.Has(fsnotify.Remove) || e.Has(fsnotify.Rename) {
		n.mu.Lock()
		delete(n.watched, model)
		n.mu.Unlock()
	}
	return model
}

func (n *notices) all() (models []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for model := range n.watched {
		models = append(models, model)
	}
	return models
}
