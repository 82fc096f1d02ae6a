package trainer

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/vmihailenco/msgpack/v5"
	"go.uber.org/goleak"

	"gavel/internal/engine"
	"gavel/internal/models"
	"gavel/internal/recipe"
)

// childEnv turns the test binary into a child that speaks the protocol: what it "learns" is the list of event times,
// which are unique in these tests. Its value is a behaviour: "", "deaf" (reads nothing after its hello), "refuse" (exit
// 2), "protocol" (hello of protocol 99), "garbage" (no protocol on stdout), "stubborn" (never ends by itself), "parent" (starts a child of
// its own and prints its pid).
const childEnv = "GAVEL_TEST_CHILD"

func TestMain(m *testing.M) {
	if behaviour, ok := os.LookupEnv(childEnv); ok {
		os.Exit(childMain(behaviour, os.Args[1:], os.Stdin, os.Stdout))
	}
	status := m.Run()
	if err := goleak.Find(); status == 0 && err != nil {
		fmt.Fprintln(os.Stderr, "left behind:", err)
		status = 1
	}
	os.Exit(status)
}

// childState is the child's checkpoint.
type childState struct {
	Pos     *string `json:"pos"`
	Learnt  []int64 `json:"learnt"`
	Batches []int   `json:"batches"`
}

func childMain(behaviour string, args []string, stdin io.Reader, stdout io.Writer) int {
	if behaviour == "parent" { // not a child at all: a trainer that has one
		c, err := startChild([]string{"sleep", "600"}, "", slog.New(slog.DiscardHandler))
		must(err)
		fmt.Fprintln(stdout, c.PID)
		<-c.Exited
		return 1
	}
	flags := flag.NewFlagSet("child", flag.ExitOnError)
	recipePath := flags.String("recipe", "", "")
	checkpoints := flags.String("checkpoint-dir", "", "")
	exports := flags.String("export-dir", "", "")
	flags.String("objects", "", "")
	if len(args) == 0 || args[0] != "fit" || flags.Parse(args[1:]) != nil {
		return exitConfiguration
	}
	r, err := recipe.Load(*recipePath)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return exitConfiguration
	}
	e := msgpack.NewEncoder(stdout)
	answer := func(m map[string]any) { must(e.Encode(m)) }
	if behaviour == "refuse" {
		answer(map[string]any{"type": "error", "message": "no such optimizer", "where": "recipe.yaml", "remedy": "fix it"})
		return exitConfiguration
	}
	if behaviour == "garbage" {
		fmt.Fprintln(stdout, "hello, world")
	}
	var state childState
	path := filepath.Join(*checkpoints, "state.json")
	must(os.MkdirAll(*checkpoints, 0o755))
	if data, err := os.ReadFile(path); err == nil {
		must(json.Unmarshal(data, &state))
	}
	protocol := Protocol
	if behaviour == "protocol" {
		protocol = 99
	}
	fmt.Fprintln(os.Stderr, "the child starts")
	answer(map[string]any{"type": "hello", "protocol": protocol, "model": r.Model, "row_len": r.Encoder().RowLen(),
		"table_rows": r.Encoder().TableRows(), "rows": len(state.Learnt), "pos": state.Pos})
	if behaviour == "deaf" {
		time.Sleep(time.Hour)
	}
	checkpoint := func() {
		data, err := json.Marshal(state)
		must(err)
		must(writeWhole(path, func(w io.Writer) error { _, err := w.Write(data); return err }))
		answer(map[string]any{"type": "checkpointed", "rows": len(state.Learnt), "pos": state.Pos})
	}
	d := msgpack.NewDecoder(bufio.NewReader(stdin))
	for {
		frame, err := DecodeFrame(d)
		if errors.Is(err, io.EOF) {
			frame = &DecodedFrame{Kind: StopFrame}
		} else if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 3
		}
		switch frame.Kind {
		case RowsFrame:
			state.Learnt = append(state.Learnt, frame.Rows.T...)
			state.Batches = append(state.Batches, frame.Rows.N())
			pos, err := posText(frame.Rows.Pos)
			must(err)
			state.Pos = &pos
			answer(map[string]any{"type": "progress", "rows": len(state.Learnt), "pos": pos, "metrics": map[string]any{"log_loss": 0.5, "auc": nil}})
		case CheckpointFrame:
			checkpoint()
		case ExportFrame:
			dir := filepath.Join(*exports, strconv.FormatInt(frame.Version, 10))
			writeVersion(dir, r, frame.Version, len(state.Learnt))
			answer(map[string]any{"type": "exported", "version": frame.Version, "path": dir, "rows": len(state.Learnt), "pos": state.Pos,
				"metrics": map[string]any{"log_loss": 0.25}})
		case StopFrame:
			checkpoint()
			if behaviour == "stubborn" {
				time.Sleep(time.Hour)
			}
			return 0
		}
	}
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// writeVersion writes a directory that the store takes for a version.
func writeVersion(dir string, r *recipe.Recipe, version int64, rows int) {
	files := map[string]string{"saved_model.pb": fmt.Sprint("model of ", rows, " rows"), "variables/variables.index": "i",
		"variables/variables.data-00000-of-00001": "d", models.RecipeFile: "recipe", models.GoldenFile: "golden"}
	m := models.Manifest{Schema: models.ManifestSchema, Model: r.Model, Version: version, Formats: []string{models.DefaultFormat}, Label: r.Label, Created: time.Now(),
		RowLen: r.Encoder().RowLen(), TableRows: r.Encoder().TableRows(), Files: map[string]string{}, Metrics: map[string]any{},
		Signature: engine.Signature{Name: "serving_default", Input: "rows", Output: "probability", InputTensor: "rows:0", OutputTensor: "p:0"},
		Training:  models.Training{Rows: int64(rows), Position: json.RawMessage("null")}}
	for name, content := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		must(os.MkdirAll(filepath.Dir(path), 0o755))
		must(os.WriteFile(path, []byte(content), 0o644))
		sum := sha256.Sum256([]byte(content))
		m.Files[name] = hex.EncodeToString(sum[:])
	}
	data, err := json.Marshal(m)
	must(err)
	must(os.WriteFile(filepath.Join(dir, filepath.FromSlash(models.ManifestFile)), data, 0o644))
}
