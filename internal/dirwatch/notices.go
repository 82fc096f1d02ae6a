package dirwatch

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/fsnotify/fsnotify"
)

// maxPending bounds the names that are notified and not read yet. Beyond it the directory is compared as a whole.
const maxPending = 1 << 17

// pending are the files that changed, each once however often it did.
type pending struct {
	signal chan struct{} // there is something; one suffices

	mu    sync.Mutex
	names map[string]bool
	lost  bool // notifications were lost: any file may have changed
}

func (p *pending) add(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.names == nil {
		p.names = map[string]bool{}
	}
	if p.names[name] = true; len(p.names) > maxPending {
		p.names, p.lost = nil, true
	}
	p.tell()
}

func (p *pending) overflow() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lost = true
	p.tell()
}

func (p *pending) tell() {
	select {
	case p.signal <- struct{}{}:
	default:
	}
}

func (p *pending) take() (names []string, lost bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for name := range p.names {
		names = append(names, name)
	}
	lost = p.lost
	p.names, p.lost = nil, false
	return names, lost
}

// watch is the kernel's notifications of a directory. Run alone uses it.
type watch struct {
	watcher *fsnotify.Watcher
	of      os.FileInfo // the directory that is watched; another may have taken its name since
	gone    atomic.Bool // it was removed or renamed, and its watch with it
	loop    sync.WaitGroup
	isName  func(string) bool
	stalled func() // for tests: called before each notification is taken
}

// ensure watches the directory, if it is not watched already.
func (w *watch) ensure(dir string, p *pending) error {
	if w.gone.Swap(false) {
		w.of = nil
	}
	now, err := os.Stat(dir)
	if err != nil {
		w.of = nil
		return err
	}
	if w.watcher == nil {
		watcher, err := fsnotify.NewWatcher()
		if err != nil {
			return err
		}
		w.watcher = watcher
		w.loop.Go(func() { w.noticeLoop(filepath.Clean(dir), p) })
	}
	if w.of != nil && os.SameFile(w.of, now) {
		return nil
	}
	w.of = nil
	_ = w.watcher.Remove(dir) // of the directory that had the name before, if there was one
	if err := w.watcher.Add(dir); err != nil {
		return err
	}
	w.of = now
	return nil
}

// noticeLoop takes notifications until close.
func (w *watch) noticeLoop(dir string, p *pending) {
	for {
		if w.stalled != nil {
			w.stalled()
		}
		select {
		case e, ok := <-w.watcher.Events:
			if !ok {
				return
			}
			if e.Name == dir {
				if e.Has(fsnotify.Remove | fsnotify.Rename) {
					w.gone.Store(true)
					p.overflow()
				}
			} else if name := filepath.Base(e.Name); w.isName(name) {
				p.add(name)
			}
		case err, ok := <-w.watcher.Errors:
			if !ok {
				return
			}
			if errors.Is(err, fsnotify.ErrEventOverflow) {
				p.overflow()
			}
		}
	}
}

func (w *watch) close() {
	if w.watcher != nil {
		_ = w.watcher.Close()
		w.loop.Wait()
	}
}
