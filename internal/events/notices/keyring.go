package notices

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"sync/atomic"

	"gavel/internal/files"
)

const keyBytes = 32

// Keyring holds the keys for tokens: the current one, which signs, and the previous one, whose tokens are still valid. Its
// file has one or two lines of 64 hex digits, the current key first, and only its owner can read it. Safe for concurrent use.
type Keyring struct {
	path string
	mu   sync.Mutex // orders writers of the file
	keys atomic.Pointer[[]*key]
}

// OpenKeyring reads the keys at path. If the file is absent, it is created with a new key, mode 0600, together with its
// directory. If others can read the file, or it holds something else, the error says what to do.
func OpenKeyring(path string) (*Keyring, error) {
	k := &Keyring{path: path}
	err := k.Reload()
	if errors.Is(err, fs.ErrNotExist) {
		if err = k.write([]*key{newKey(files.RandomKey())}, true); errors.Is(err, fs.ErrExist) {
			err = nil // another process was first
		}
		if err == nil {
			err = k.Reload()
		}
	}
	if err != nil {
		return nil, err
	}
	return k, nil
}

// Reload reads the file again. On an error the keys do not change.
func (k *Keyring) Reload() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	text, err := files.ReadSecret(k.path)
	if err != nil {
		return fmt.Errorf("notices: cannot read the token keys: %w", err)
	}
	var keys []*key
	s := bufio.NewScanner(bytes.NewReader(text))
	for n := 1; s.Scan(); n++ {
		line := strings.TrimSpace(s.Text())
		if line == "" {
			continue
		}
		secret, err := hex.DecodeString(line)
		if err != nil || len(secret) != keyBytes {
			return fmt.Errorf("notices: cannot read the token keys: %s line %d is not %d hex digits; remove the file to start with a new key", k.path, n, 2*keyBytes)
		}
		keys = append(keys, newKey(secret))
	}
	if len(keys) < 1 || len(keys) > 2 {
		return fmt.Errorf("notices: cannot read the token keys: %s holds %d keys, want the current one and at most one previous key", k.path, len(keys))
	}
	k.keys.Store(&keys)
	return nil
}

// Rotate makes a new key the current one, in the file and here. The current key becomes the previous one, and the previous
// key is removed. Other processes read the new key with Reload. Tokens of the removed key are refused, so rotate no more
// often than tokens live.
func (k *Keyring) Rotate() error {
	k.mu.Lock()
	old := *k.keys.Load()
	err := k.write([]*key{newKey(files.RandomKey()), old[0]}, false)
	k.mu.Unlock()
	if err != nil {
		return err
	}
	return k.Reload()
}

func (k *Keyring) write(keys []*key, create bool) error {
	var b bytes.Buffer
	for _, key := range keys {
		fmt.Fprintf(&b, "%x\n", key.secret)
	}
	if err := files.WriteSecret(k.path, b.Bytes(), create); err != nil {
		return fmt.Errorf("notices: cannot write the token keys: %w", err)
	}
	return nil
}
