package features

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"testing"

	"gavel/internal/auction"
)

var update = flag.Bool("update", false, "rewrite the golden file")

const goldenFile = "../../tests/golden/rows.json"

// goldenCase is one candidate and its row. The meaning of a row must not change under a trained version: if this file
// must change, every trained version becomes invalid.
type goldenCase struct {
	Request   int                `json:"request"` // index into requests
	Candidate *auction.Candidate `json:"candidate"`
	Row       []int32            `json:"row"`
}

type goldenRaw struct {
	Values map[string]string `json:"values"` // by RawColumns
	Row    []int32           `json:"row"`
}

type golden struct {
	About     string             `json:"about"`
	Spec      []goldenFeature    `json:"spec"`
	RowLen    int                `json:"row_len"`
	TableRows int                `json:"table_rows"`
	Requests  []*auction.Request `json:"requests"`
	Rows      []goldenCase       `json:"rows"`
	Raw       []goldenRaw        `json:"raw"`
}

// goldenFeature is Feature with the keys of a recipe.
type goldenFeature struct {
	Name      string   `json:"name"`
	Source    string   `json:"source,omitempty"`
	Transform string   `json:"transform,omitempty"`
	Of        []string `json:"of,omitempty"`
	Slots     int      `json:"slots,omitempty"`
	Encoder   string   `json:"encoder"`
	Buckets   int      `json:"buckets,omitempty"`
	Values    Values   `json:"values,omitempty"`
}

func makeGolden(t *testing.T) *golden {
	t.Helper()
	spec := wide()
	e := mustEncoder(t, spec)
	g := &golden{
		About:  "requests and candidates (internal/auction's types), and the rows internal/features makes of them. Rewrite: go test ./internal/features -run TestGoldenRows -update",
		RowLen: e.RowLen(), TableRows: e.TableRows(),
	}
	for _, f := range spec {
		g.Spec = append(g.Spec, goldenFeature(f))
	}
	req, cands := sample()
	abroad, abroadCands := sample()
	abroad.ID, abroad.Device.Geo = "r2", auction.Geo{Country: "DE", City: "KÖLN", UTCOffset: -90, HasOffset: true}
	abroad.Inventory = auction.Inventory{Kind: auction.App, Bundle: "com.example.app", Publisher: "p2"}
	unknown := &auction.Request{ID: "r3", Received: req.Received}
	g.Requests = []*auction.Request{req, abroad, unknown}
	add := func(request int, cand *auction.Candidate) {
		row := make([]int32, e.RowLen())
		e.Encode(g.Requests[request], cand, row)
		g.Rows = append(g.Rows, goldenCase{request, cand, row})
	}
	for i := range 3 {
		add(0, &cands[i])
	}
	add(1, &abroadCands[2])
	add(2, &auction.Candidate{})
	for _, values := range []map[string]string{
		{"country": "usa", "categories": "IAB1|IAB2", "campaign": "c1", "floor": "250", "hour": "1709677800000", "domain": "www.news.example"},
		{"country": "FRA", "city": " Paris ", "floor": "0", "device": "4"},
	} {
		row := make([]int32, e.RowLen())
		var columns []string
		for _, name := range e.RawColumns() {
			columns = append(columns, values[name])
		}
		if err := e.EncodeValues(columns, row); err != nil {
			t.Fatal(err)
		}
		g.Raw = append(g.Raw, goldenRaw{values, row})
	}
	return g
}

func TestGoldenRows(t *testing.T) {
	g := makeGolden(t)
	got, err := json.MarshalIndent(g, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	if *update {
		if err := os.WriteFile(goldenFile, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(goldenFile)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("the rows are not those of %s: versions trained before would read them wrongly", goldenFile)
	}
	// The file alone is enough to compute its rows.
	var file golden
	if err := json.Unmarshal(want, &file); err != nil {
		t.Fatal(err)
	}
	var spec []Feature
	for _, f := range file.Spec {
		spec = append(spec, Feature(f))
	}
	e := mustEncoder(t, spec)
	if e.RowLen() != file.RowLen || e.TableRows() != file.TableRows {
		t.Errorf("row length %d, table rows %d; the file says %d, %d", e.RowLen(), e.TableRows(), file.RowLen, file.TableRows)
	}
	row := make([]int32, e.RowLen())
	for i, c := range file.Rows {
		if e.Encode(file.Requests[c.Request], c.Candidate, row); !equal(row, c.Row) {
			t.Errorf("row %d: %v, want %v", i, row, c.Row)
		}
	}
}
