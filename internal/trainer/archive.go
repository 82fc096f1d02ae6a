package trainer

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/zstd"

	"gavel/internal/events/join"
	"gavel/internal/stream"
)

// ArchivedExample is one row of an archive file: an example as it was learnt, with the prediction that the bid was made by.
type ArchivedExample struct {
	ID          string  `parquet:"id"`
	TimeMs      int64   `parquet:"time_ms"`
	Label       float32 `parquet:"label"`
	Weight      float32 `parquet:"weight"`
	Probability float32 `parquet:"probability"` // served; 0 with version 0: no model was asked
	Version     int64   `parquet:"version"`
	Campaign    string  `parquet:"campaign,dict"`
	PriceMicros int64   `parquet:"price_micros"` // what was bid
	Row         []int32 `parquet:"row,list"`
}

// archive keeps joined examples as Parquet files, <dir>/<created>-<high>-<skip>.parquet. A file's name ends with the
// position of its last example. A file appears whole. feed calls flush before it asks for a checkpoint, so the archive is
// never behind a checkpoint. After a restart, examples up to the archive's position come again, and add skips them. So the
// archive holds each example once.
type archive struct {
	dir      string
	maxRows  int // rows a file
	maxFiles int // files kept, oldest removed first
	now      func() time.Time

	rows  []ArchivedExample
	cells []int32 // memory of rows' Row
	last  archivePos
}

// archivePos orders examples in the stream.
type archivePos struct {
	high stream.Cursor
	skip uint64
}

func (p archivePos) compare(q archivePos) int {
	return cmp.Or(p.high.Compare(q.high), cmp.Compare(p.skip, q.skip))
}

// archiveName names a file that was created at that time and ends with the example at p. Names sort by time.
func archiveName(created time.Time, p archivePos) string {
	return fmt.Sprintf("%013d-%020d-%010d.parquet", created.UnixMilli(), p.high.Seq(), p.skip)
}

func parseArchiveName(name string) (p archivePos, ok bool) {
	var created int64
	var high uint64
	_, err := fmt.Sscanf(name, "%d-%d-%d.parquet", &created, &high, &p.skip)
	p.high = stream.CursorAt(high)
	return p, err == nil
}

// openArchive opens the archive in dir, and makes dir if it is absent. streamEnd is the stream's last message. Files with
// positions beyond it belong to an earlier stream, so they cause no example to be skipped.
func openArchive(dir string, maxRows, maxFiles int, streamEnd stream.Cursor, now func() time.Time) (*archive, error) {
	a := &archive{dir: dir, maxRows: maxRows, maxFiles: maxFiles, now: now}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("trainer: cannot open archive: %w", err)
	}
	names, err := a.files()
	if err != nil {
		return nil, err
	}
	if len(names) > 0 {
		if p, ok := parseArchiveName(names[len(names)-1]); ok && p.high.Compare(streamEnd) <= 0 {
			a.last = p
		}
	}
	return a, nil
}

// files lists the archive's files, oldest first, and removes partial files of a killed writer.
func (a *archive) files() ([]string, error) {
	entries, err := os.ReadDir(a.dir)
	if err != nil {
		return nil, fmt.Errorf("trainer: cannot list archive: %w", err)
	}
	var names []string
	for _, entry := range entries {
		switch name := entry.Name(); {
		case strings.HasSuffix(name, ".parquet"):
			names = append(names, name)
		case strings.HasSuffix(name, ".part"):
			_ = os.Remove(filepath.Join(a.dir, name))
		}
	}
	slices.Sort(names)
	return names, nil
}

// add keeps one example and writes a file when it is full. It returns false if the example is archived already.
func (a *archive) add(ex *join.Example, row []int32, probability float32, version int64) (fresh bool, err error) {
	p := archivePos{ex.Pos.High, ex.Pos.Skip}
	if p.compare(a.last) <= 0 {
		return false, nil
	}
	a.last = p
	start := len(a.cells)
	a.cells = append(a.cells, row...)
	a.rows = append(a.rows, ArchivedExample{
		ID: ex.ID, TimeMs: ex.Time, Label: ex.Label, Weight: 1, Probability: probability, Version: version,
		Campaign: ex.Bid.Campaign.ID, PriceMicros: int64(ex.Bid.Price), Row: a.cells[start:len(a.cells):len(a.cells)],
	})
	if len(a.rows)%a.maxRows == 0 { // if writing fails, try again only when another file's worth is there: encoding is expensive
		return true, a.flush()
	}
	return true, nil
}

// flush writes all waiting rows as one file. On an error the rows stay, and the next flush tries again. That is before the
// next checkpoint, or when another file's worth is there. If four files' worth wait, flush drops them, and its error says so.
func (a *archive) flush() error {
	if len(a.rows) == 0 {
		return nil
	}
	name := archiveName(a.now(), a.last)
	err := writeWhole(filepath.Join(a.dir, name), func(w io.Writer) error {
		return parquet.Write(w, a.rows, parquet.Compression(&zstd.Codec{}))
	})
	if err != nil {
		lost := ""
		if len(a.rows) >= 4*a.maxRows {
			lost = fmt.Sprintf(" (%d examples are not archived)", len(a.rows))
			a.rows, a.cells = nil, nil
		}
		return fmt.Errorf("trainer: cannot write archive%s: %w", lost, err)
	}
	clear(a.rows)
	a.rows, a.cells = a.rows[:0], a.cells[:0]
	names, err := a.files()
	if err != nil {
		return err
	}
	for len(names) > a.maxFiles {
		if err := os.Remove(filepath.Join(a.dir, names[0])); err != nil {
			return fmt.Errorf("trainer: cannot remove an old archive file: %w", err)
		}
		names = names[1:]
	}
	return nil
}

// writeWhole writes a temporary file, syncs it and renames it to path.
func writeWhole(path string, write func(io.Writer) error) (err error) {
	f, err := os.Create(path + ".part")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	if err = write(f); err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	if err = os.Rename(f.Name(), path); err != nil {
		return err
	}
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
