package trainer

import (
	"errors"
	"fmt"
	"io"

	"github.com/vmihailenco/msgpack/v5"
)

// maxAnswerBytes bounds one answer on the child's stdout.
const maxAnswerBytes = 1 << 20

// AnswerKind is the `type` of an answer.
type AnswerKind string

const (
	HelloAnswer        AnswerKind = "hello"
	ProgressAnswer     AnswerKind = "progress"
	CheckpointedAnswer AnswerKind = "checkpointed"
	ExportedAnswer     AnswerKind = "exported"
	ErrorAnswer        AnswerKind = "error"
)

// Answer is one answer of the child. docs/contracts.md says which fields each kind has.
type Answer struct {
	Kind      AnswerKind         `msgpack:"type"`
	Protocol  int                `msgpack:"protocol"`
	Model     string             `msgpack:"model"`
	RowLen    int                `msgpack:"row_len"`
	TableRows int                `msgpack:"table_rows"`
	Rows      int64              `msgpack:"rows"`
	Pos       msgpack.RawMessage `msgpack:"pos"`
	Version   int64              `msgpack:"version"`
	Path      string             `msgpack:"path"`
	Metrics   map[string]any     `msgpack:"metrics"`
	Message   string             `msgpack:"message"`
	Where     string             `msgpack:"where"`
	Remedy    string             `msgpack:"remedy"`
}

// answerReader reads answers one after the other.
type answerReader struct {
	limit io.LimitedReader
	d     *msgpack.Decoder
}

func newAnswerReader(r io.Reader) *answerReader {
	a := &answerReader{limit: io.LimitedReader{R: r}}
	a.d = msgpack.NewDecoder(&a.limit)
	return a
}

// next waits for the next answer. It returns io.EOF at a clean end. After any other error nothing more can be read.
func (a *answerReader) next() (*Answer, error) {
	a.limit.N = maxAnswerBytes
	answer := new(Answer)
	if err := a.d.Decode(answer); err != nil {
		if errors.Is(err, io.EOF) && a.limit.N > 0 {
			return nil, io.EOF
		}
		return nil, fmt.Errorf("trainer: cannot read the child's answer (only protocol frames of at most %d bytes may go to stdout): %w", maxAnswerBytes, err)
	}
	switch answer.Kind {
	case HelloAnswer, ProgressAnswer, CheckpointedAnswer, ExportedAnswer, ErrorAnswer:
		return answer, nil
	}
	return nil, fmt.Errorf("trainer: the child's answer has the unknown type %q", answer.Kind)
}

// posText decodes the position in an answer or frame. The trainer writes positions as texts; nil gives "".
func posText(raw msgpack.RawMessage) (string, error) {
	if len(raw) == 0 || len(raw) == 1 && raw[0] == 0xc0 {
		return "", nil
	}
	var s string
	if err := msgpack.Unmarshal(raw, &s); err != nil {
		return "", fmt.Errorf("trainer: cannot read the checkpoint's stream position: %w", err)
	}
	return s, nil
}

// metric returns the number of that name among the answer's metrics; false if there is none.
func (a *Answer) metric(name string) (float64, bool) {
	switch v := a.Metrics[name].(type) {
	case float64:
		return v, true
	case float32:
		return float64(v), true
	case int64:
		return float64(v), true
	case uint64:
		return float64(v), true
	case int8:
		return float64(v), true
	case uint8:
		return float64(v), true
	case uint16:
		return float64(v), true
	case uint32:
		return float64(v), true
	}
	return 0, false
}
