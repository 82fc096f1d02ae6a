package replay

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/klauspost/compress/gzip"
)

// records reads a log of columns, one row after the other.
type records interface {
	has(column string) bool
	next() (record, error) // io.EOF ends the log
	Close() error
}

// record is one row, valid until the next is read.
type record struct {
	place string // where it stands, for errors
	text  func(column string) string
	raw   func(column string) []byte // as it stands: an object of NDJSON is JSON
}

// openRecords opens a CSV file with a header, or NDJSON, by the ending of its name.
func openRecords(path string) (records, error) {
	r, file, err := openFile(path)
	if err != nil {
		return nil, err
	}
	switch plain := strings.TrimSuffix(path, ".gz"); {
	case strings.HasSuffix(plain, ".csv"):
		rows := csv.NewReader(r)
		rows.ReuseRecord = true
		header, err := rows.Read()
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = errNoRecords
			}
			return nil, errors.Join(err, file.Close())
		}
		header = slices.Clone(header)
		header[0] = strings.TrimPrefix(header[0], "\ufeff")
		return &csvRecords{file: file, rows: rows, header: header}, nil
	case strings.HasSuffix(plain, ".ndjson"), strings.HasSuffix(plain, ".jsonl"):
		lines := bufio.NewScanner(r)
		lines.Buffer(make([]byte, 64<<10), maxLine)
		n := &jsonRecords{file: file, lines: lines}
		for len(n.ahead) < readAhead {
			r, err := n.read()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return nil, errors.Join(err, file.Close())
			}
			n.ahead = append(n.ahead, r)
		}
		if len(n.ahead) == 0 {
			return nil, errors.Join(errNoRecords, file.Close())
		}
		return n, nil
	}
	return nil, errors.Join(fmt.Errorf("%s: want .csv, .ndjson or .jsonl, or one of them with .gz", path), file.Close())
}

// errNoRecords is what an empty file gives.
var errNoRecords = fmt.Errorf("the file holds no rows: %w", io.ErrUnexpectedEOF)

// openFile opens a file, unpacked if its name ends in .gz.
func openFile(path string) (io.Reader, *os.File, error) {
	file, err := os.Open(path)
	if err != nil || !strings.HasSuffix(path, ".gz") {
		return file, file, err
	}
	r, err := gzip.NewReader(bufio.NewReader(file))
	if err != nil {
		return nil, nil, errors.Join(err, file.Close())
	}
	return r, file, nil
}

type csvRecords struct {
	file   *os.File
	rows   *csv.Reader
	header []string
}

func (c *csvRecords) has(column string) bool { return slices.Contains(c.header, column) }

func (c *csvRecords) next() (record, error) {
	values, err := c.rows.Read() // an error names the line
	if err != nil {
		return record{}, err
	}
	line, _ := c.rows.FieldPos(0)
	text := func(column string) string {
		if i := slices.Index(c.header, column); i >= 0 {
			return values[i]
		}
		return ""
	}
	return record{place: fmt.Sprintf("line %d", line), text: text, raw: func(column string) []byte { return []byte(text(column)) }}, nil
}

func (c *csvRecords) Close() error { return c.file.Close() }

// jsonRecords are objects, one a line; a column is a dotted path into them.
type jsonRecords struct {
	file   *os.File
	lines  *bufio.Scanner
	number int
	ahead  []record // the first rows, read ahead so that has can look into them
}

// readAhead is in how many rows a column of NDJSON must be seen once: objects leave out what is empty.
const readAhead = 1000

func (j *jsonRecords) has(column string) bool {
	return slices.ContainsFunc(j.ahead, func(r record) bool { return len(r.raw(column)) > 0 })
}

func (j *jsonRecords) next() (record, error) {
	if len(j.ahead) > 0 {
		r := j.ahead[0]
		j.ahead = j.ahead[1:]
		return r, nil
	}
	return j.read()
}

func (j *jsonRecords) read() (record, error) {
	for j.lines.Scan() {
		j.number++
		line := bytes.TrimSpace(j.lines.Bytes())
		if len(line) == 0 {
			continue
		}
		var object map[string]any
		d := json.NewDecoder(bytes.NewReader(line))
		d.UseNumber()
		if err := d.Decode(&object); err != nil {
			return record{}, fmt.Errorf("line %d is no JSON object: %w", j.number, err)
		}
		find := func(column string) any { return at(object, strings.Split(column, ".")...) }
		return record{
			place: fmt.Sprintf("line %d", j.number),
			text: func(column string) string {
				if b, ok := find(column).(bool); ok {
					return fmt.Sprint(b)
				}
				return text(find(column))
			},
			raw: func(column string) []byte {
				switch v := find(column).(type) {
				case nil:
					return nil
				case string: // a request that was logged as text
					return []byte(v)
				default:
					raw, err := json.Marshal(v)
					if err != nil {
						return nil
					}
					return raw
				}
			},
		}, nil
	}
	if err := j.lines.Err(); err != nil {
		return record{}, fmt.Errorf("after line %d: %w", j.number, err)
	}
	return record{}, io.EOF
}

func (j *jsonRecords) Close() error { return j.file.Close() }
