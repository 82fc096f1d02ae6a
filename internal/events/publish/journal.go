package publish

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"

	"gavel/internal/files"
)

// journal keeps messages on disk while the stream is down: an append-only file of records
//
//	length of what follows the checksum (uint32) ‖ CRC-32C of it (uint32) ‖ length of id (uint8) ‖ id ‖ payload
//
// with little-endian numbers. append syncs before it returns, so its records survive a crash. If a crash cuts a record off,
// openJournal drops it. A damaged part costs only itself: the next record is found by its length and checksum, and skip keeps the
// damaged part in a file beside the journal (salvage.go). When all records have been replayed, the file is emptied. After a crash before that, they are
// replayed from the start under the same message ids, so readers drop the repeats. Only one goroutine may use a journal.
type journal struct {
	path  string
	max   int64
	f     *os.File
	lock  *os.File
	size  int64 // bytes up to the end of the last whole, synced record
	read  int64 // offset of the next record to replay
	count int   // records not replayed yet
}

const (
	journalHead   = 8
	maxRecord     = 1 + 255 + 1<<20 // an id's length, an id, and more than any message has
	minRecordBody = 1
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var errJournalFull = errors.New("events: spill journal full")

// openJournal opens or creates the journal. dropped is the number of bytes that it removed after the last whole record.
func openJournal(path string, max int64) (j *journal, dropped int64, err error) {
	fail := func(err error) (*journal, int64, error) {
		return nil, 0, fmt.Errorf("publish: cannot open the spill journal %s: %w (events.spill_file)", path, err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fail(err)
	}
	lock, err := files.Lock(path + ".lock")
	if err != nil {
		return fail(err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		lock.Close()
		return fail(err)
	}
	j = &journal{path: path, max: max, f: f, lock: lock}
	total, err := f.Seek(0, io.SeekEnd)
	if err == nil {
		err = j.scan(total)
	}
	if err == nil && j.size < total {
		if !j.cutOff(total) {
			err = j.keepDamaged(j.size, total)
		}
	}
	if err == nil && j.size < total {
		err = errors.Join(f.Truncate(j.size), f.Sync())
	}
	if err == nil {
		err = files.SyncDir(filepath.Dir(path))
	}
	if err != nil {
		j.close()
		return fail(err)
	}
	return j, total - j.size, nil
}

// scan finds the end of the last whole record, and counts the records before it.
func (j *journal) scan(total int64) error {
	for at := int64(0); at < total; {
		n, end, err := j.run(at, total)
		if err != nil {
			return err
		}
		if n > 0 {
			j.size, j.count = end, j.count+n
		}
		if end == total {
			return nil
		}
		if at, err = j.find(end+1, total); err != nil {
			return err
		}
	}
	return nil
}

// run counts the whole records from an offset on, up to the first bytes that are none.
func (j *journal) run(at, total int64) (n int, end int64, err error) {
	r := bufio.NewReaderSize(io.NewSectionReader(j.f, at, total-at), 1<<20)
	for {
		rec, err := readRecord(r)
		if errors.Is(err, io.EOF) || errors.Is(err, errBadRecord) {
			return n, at, nil
		}
		if err != nil {
			return n, at, err
		}
		at += journalHead + int64(len(rec.raw))
		n++
	}
}

var errBadRecord = errors.New("record damaged")

// record is one message; payload points into raw.
type record struct {
	id      string
	payload []byte
	raw     []byte
}

func readRecord(r io.Reader) (rec record, err error) {
	var head [journalHead]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			err = errBadRecord
		}
		return rec, err // io.EOF: the end
	}
	n := binary.LittleEndian.Uint32(head[:])
	if n < minRecordBody || n > maxRecord {
		return rec, errBadRecord
	}
	rec.raw = make([]byte, n)
	if _, err := io.ReadFull(r, rec.raw); err != nil {
		return rec, errBadRecord
	}
	if crc32.Checksum(rec.raw, castagnoli) != binary.LittleEndian.Uint32(head[4:]) {
		return rec, errBadRecord
	}
	idLen := 1 + int(rec.raw[0])
	if idLen > len(rec.raw) {
		return rec, errBadRecord
	}
	rec.id, rec.payload = string(rec.raw[1:idLen]), rec.raw[idLen:]
	return rec, nil
}

func appendRecord(b []byte, id string, payload []byte) []byte {
	start := len(b)
	b = binary.LittleEndian.AppendUint32(b, uint32(1+len(id)+len(payload)))
	b = binary.LittleEndian.AppendUint32(b, 0)
	b = append(append(b, byte(len(id))), id...)
	b = append(b, payload...)
	binary.LittleEndian.PutUint32(b[start+4:], crc32.Checksum(b[start+journalHead:], castagnoli))
	return b
}

// append writes count encoded records, all or none.
func (j *journal) append(records []byte, count int) error {
	if j.size+int64(len(records)) > j.max {
		return errJournalFull
	}
	if _, err := j.f.WriteAt(records, j.size); err != nil {
		return fmt.Errorf("publish: cannot write the spill journal: %w", err)
	}
	if err := j.f.Sync(); err != nil {
		return fmt.Errorf("publish: cannot sync the spill journal: %w", err)
	}
	j.size += int64(len(records))
	j.count += count
	return nil
}

// peek returns the next records to replay, up to some bytes of them, and the offset after them, for advance.
func (j *journal) peek(bytes int64) (recs []record, behind int64, err error) {
	behind = j.read
	r := bufio.NewReaderSize(io.NewSectionReader(j.f, j.read, j.size-j.read), 1<<18)
	for behind < j.size && behind-j.read < bytes {
		rec, err := readRecord(r)
		if err != nil {
			return recs, behind, fmt.Errorf("publish: cannot read the spill journal %s at byte %d: %w", j.path, behind, err)
		}
		behind += journalHead + int64(len(rec.raw))
		recs = append(recs, rec)
	}
	return recs, behind, nil
}

// advance records that count records up to an offset have been replayed. After the last one it empties the file.
func (j *journal) advance(behind int64, count int) error {
	j.read = behind
	j.count -= count
	if j.read < j.size {
		return nil
	}
	return j.reset()
}

// reset empties the file.
func (j *journal) reset() error {
	if err := errors.Join(j.f.Truncate(0), j.f.Sync()); err != nil {
		return fmt.Errorf("publish: cannot empty the spill journal: %w", err)
	}
	j.read, j.size, j.count = 0, 0, 0
	return nil
}

func (j *journal) empty() bool { return j.read >= j.size }

func (j *journal) close() error { return errors.Join(j.f.Close(), j.lock.Close()) }
