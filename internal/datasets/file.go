package datasets

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/zstd"
)

const (
	suffix          = ".parquet"
	rowsInGroup     = 128 << 10
	positivesKey    = "gavel.positives"
	maxFileBytes    = 4 << 30
	rowsRead        = 512
	createdBy       = "gavel"
	createdByFormat = "1"
)

// codec keeps encoders from file to file.
var codec = &zstd.Codec{}

// span is a file of one campaign: its rows' times are in [from, to), Unix ms.
type span struct {
	from, to        int64
	rows, positives int64
}

func (s span) name() string { return fmt.Sprintf("%d-%d%s", s.from, s.to, suffix) }

// within reports whether s's range lies within o's.
func (s span) within(o span) bool { return o.from <= s.from && s.to <= o.to }

// parseName returns the range that a file's name promises.
func parseName(name string) (s span, ok bool) {
	from, to, ok := strings.Cut(strings.TrimSuffix(name, suffix), "-")
	if !ok || !strings.HasSuffix(name, suffix) {
		return span{}, false
	}
	var err1, err2 error
	s.from, err1 = strconv.ParseInt(from, 10, 64)
	s.to, err2 = strconv.ParseInt(to, 10, 64)
	return s, err1 == nil && err2 == nil && 0 <= s.from && s.from < s.to && s.name() == name
}

// writeFile writes a whole Parquet file, not synced. fill calls put for each row.
func (l *layout) writeFile(path string, positives int64, fill func(*parquet.Writer) error) (err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o640)
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, f.Close())
		if err != nil {
			err = errors.Join(err, os.Remove(path))
		}
	}()
	w := parquet.NewWriter(f, l.schema, parquet.Compression(codec), parquet.MaxRowsPerRowGroup(rowsInGroup),
		parquet.CreatedBy(createdBy, createdByFormat, ""),
		parquet.KeyValueMetadata(positivesKey, strconv.FormatInt(positives, 10)))
	if err := fill(w); err != nil {
		return err
	}
	return w.Close()
}

// openFile opens a Parquet file of the set and checks its columns. The caller closes the os.File.
func (l *layout) openFile(path string) (*os.File, *parquet.File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	p, err := l.openParquet(f)
	if err != nil {
		f.Close()
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	return f, p, nil
}

func (l *layout) openParquet(f *os.File) (p *parquet.File, err error) {
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if st.Size() > maxFileBytes {
		return nil, fmt.Errorf("has %d bytes, more than %d", st.Size(), int64(maxFileBytes))
	}
	defer func() {
		if r := recover(); r != nil { // the library panics on some damaged footers
			err = fmt.Errorf("is damaged: %v", r)
		}
	}()
	p, err = parquet.OpenFile(f, st.Size(), parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return nil, fmt.Errorf("is damaged: %w", err)
	}
	if !parquet.EqualNodes(p.Schema(), l.schema) {
		return nil, errors.New("has other columns than the data set: move it away, or name another data set")
	}
	return p, nil
}

// count reads a file's numbers from its footer.
func (l *layout) count(path string, s span) (span, error) {
	f, p, err := l.openFile(path)
	if err != nil {
		return s, err
	}
	defer f.Close()
	s.rows = p.NumRows()
	text, _ := p.Lookup(positivesKey)
	if s.positives, err = strconv.ParseInt(text, 10, 64); err != nil {
		return s, fmt.Errorf("%s: has no count of positives: another program wrote it", path)
	}
	return s, nil
}

// copyRows writes all rows of a file to w.
func (l *layout) copyRows(w *parquet.Writer, path string) (err error) {
	f, p, err := l.openFile(path)
	if err != nil {
		return err
	}
	defer f.Close()
	for _, group := range p.RowGroups() {
		rows := group.Rows()
		_, err := parquet.CopyRows(w, rows)
		if err = errors.Join(err, rows.Close()); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	return nil
}

// ReadFile returns all rows of one file of a set with these fields. It is for tests and tools: a large file takes much memory.
func ReadFile(path string, fields []string) ([]Row, error) {
	l, err := newLayout(fields)
	if err != nil {
		return nil, fmt.Errorf("datasets: cannot read %s: %w", path, err)
	}
	f, p, err := l.openFile(path)
	if err != nil {
		return nil, fmt.Errorf("datasets: cannot read: %w", err)
	}
	defer f.Close()
	found := make([]Row, 0, p.NumRows())
	buffer := make([]parquet.Row, rowsRead)
	for _, group := range p.RowGroups() {
		rows := group.Rows()
		for {
			n, err := rows.ReadRows(buffer)
			for _, r := range buffer[:n] {
				found = append(found, l.row(r))
			}
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				rows.Close()
				return nil, fmt.Errorf("datasets: cannot read %s: %w", path, err)
			}
		}
		if err := rows.Close(); err != nil {
			return nil, fmt.Errorf("datasets: cannot read %s: %w", path, err)
		}
	}
	return found, nil
}
