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
	"strconv"
	"strings"
	"unicode/utf8"

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
	place  string                                // where it stands, for errors
	values func(column string) ([]string, error) // none if the column is empty; several where NDJSON has a list
	raw    func(column string) []byte            // as it stands: an object of NDJSON is JSON
}

// one is a column's only value; "" if it has none. A list or an object is returned as it stands, for the error.
func (r record) one(column string) string {
	values, err := r.values(column)
	if err != nil || len(values) > 1 {
		return string(r.raw(column))
	}
	return strings.Join(values, "")
}

// texts are the values of a JSON value: the elements of a list, or the one value itself; "" and null are none.
func texts(v any) ([]string, error) {
	switch x := v.(type) {
	case nil:
		return nil, nil
	case bool:
		return []string{strconv.FormatBool(x)}, nil
	case []any:
		var all []string
		for _, element := range x {
			if _, nested := element.([]any); nested {
				return nil, errors.New("a list in a list is no value")
			}
			one, err := texts(element)
			if err != nil {
				return nil, err
			}
			all = append(all, one...)
		}
		return all, nil
	case map[string]any:
		return nil, errors.New("an object is no value; name a column within it, as user.age")
	}
	if s := text(v); s != "" {
		return []string{s}, nil
	}
	return nil, nil
}

// openRecords opens a CSV file with a header, or NDJSON, by the ending of its name.
func openRecords(path string) (records, error) {
	r, file, err := openFile(path)
	if err != nil {
		return nil, err
	}
	switch plain := strings.TrimSuffix(path, ".gz"); {
	case strings.HasSuffix(plain, ".csv"):
		rows := csv.NewReader(withoutMark(r))
		rows.ReuseRecord = true
		header, err := rows.Read()
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = errNoRecords
			}
			return nil, errors.Join(err, file.Close())
		}
		header = slices.Clone(header)
		for i, column := range header {
			if slices.Contains(header[:i], column) {
				return nil, errors.Join(fmt.Errorf("the header has the column %q twice; rename one", column), file.Close())
			}
		}
		return &csvRecords{file: file, rows: rows, header: header}, nil
	case strings.HasSuffix(plain, ".ndjson"), strings.HasSuffix(plain, ".jsonl"):
		lines := bufio.NewScanner(withoutMark(r))
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

// withoutMark leaves out the byte order mark that some programs write at the beginning of UTF-8.
func withoutMark(r io.Reader) io.Reader {
	b := bufio.NewReader(r)
	if start, err := b.Peek(3); err == nil && string(start) == "\ufeff" {
		_, _ = b.Discard(3) // they were peeked
	}
	return b
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
	return record{
		place: fmt.Sprintf("line %d", line),
		values: func(column string) ([]string, error) {
			value := text(column)
			if !utf8.ValidString(value) {
				return nil, fmt.Errorf("%q is not UTF-8; convert the file, as with iconv", value)
			}
			if value == "" {
				return nil, nil
			}
			return []string{value}, nil
		},
		raw: func(column string) []byte { return []byte(text(column)) },
	}, nil
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
		if d.More() {
			return record{}, fmt.Errorf("line %d holds more than one JSON object; write one a line", j.number)
		}
		find := func(column string) any { return at(object, strings.Split(column, ".")...) }
		return record{
			place:  fmt.Sprintf("line %d", j.number),
			values: func(column string) ([]string, error) { return texts(find(column)) },
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
