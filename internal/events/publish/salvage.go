package publish

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
)

// salvageStep is how many bytes find searches at once.
const salvageStep = 4 << 20

// find returns the offset of the first whole record that begins at an offset or behind it; total if there is none.
func (j *journal) find(from, total int64) (int64, error) {
	window := make([]byte, min(salvageStep+journalHead+maxRecord, max(total-from, 0)))
	for ; from < total; from += salvageStep {
		n, err := j.f.ReadAt(window[:min(int64(len(window)), total-from)], from)
		if err != nil && !errors.Is(err, io.EOF) {
			return 0, fmt.Errorf("publish: cannot search the spill journal: %w", err)
		}
		b := window[:n]
		for i := 0; i < min(len(b), salvageStep); i++ {
			if wholeRecord(b[i:]) {
				return from + int64(i), nil
			}
		}
	}
	return total, nil
}

// wholeRecord reports whether b begins with a whole record whose id is printable, as all are.
func wholeRecord(b []byte) bool {
	if len(b) < journalHead {
		return false
	}
	n := binary.LittleEndian.Uint32(b)
	if n < minRecordBody || n > maxRecord || int64(n) > int64(len(b)-journalHead) {
		return false
	}
	body := b[journalHead : journalHead+n]
	id := 1 + int(body[0])
	if id == 1 || id > len(body) {
		return false
	}
	for _, c := range body[1:id] { // to sum all that has a likely length would take too long
		if c <= ' ' || c > '~' {
			return false
		}
	}
	return crc32.Checksum(body, castagnoli) == binary.LittleEndian.Uint32(b[4:])
}

// cutOff reports whether what follows the last whole record is the beginning of one: a crash cut it off.
func (j *journal) cutOff(total int64) bool {
	var head [4]byte
	if total-j.size < journalHead {
		return true
	}
	if _, err := j.f.ReadAt(head[:], j.size); err != nil {
		return false
	}
	n := binary.LittleEndian.Uint32(head[:])
	return n >= minRecordBody && n <= maxRecord && j.size+journalHead+int64(n) > total
}

// keepDamaged appends a part of the journal to the file of damaged parts.
func (j *journal) keepDamaged(from, to int64) error {
	f, err := os.OpenFile(j.path+".damaged", os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err == nil {
		_, err = io.Copy(f, io.NewSectionReader(j.f, from, to-from))
		err = errors.Join(err, f.Sync(), f.Close())
	}
	if err != nil {
		return fmt.Errorf("publish: cannot keep the damaged part of the spill journal: %w", err)
	}
	return nil
}

// skip passes over the damaged part at which peek failed, and returns its bytes.
func (j *journal) skip() (bytes int64, err error) {
	next, err := j.find(j.read+1, j.size)
	if err != nil {
		return 0, err
	}
	if err := j.keepDamaged(j.read, next); err != nil {
		return 0, err
	}
	bytes = next - j.read
	if next < j.size {
		j.read = next
		return bytes, nil
	}
	return bytes, j.reset()
}
