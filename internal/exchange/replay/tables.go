package replay

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/prebid/openrtb/v20/openrtb2"

	"gavel/internal/exchange/lot"
)

// criteoRow is a row of small_train.parquet. Columns are optional in the file.
type criteoRow struct {
	Cat1  *int64 `parquet:"cat1,optional"`
	Cat4  *int64 `parquet:"cat4,optional"`
	Cat6  *int64 `parquet:"cat6,optional"`
	Cat8  *int64 `parquet:"cat8,optional"`
	Cat9  *int64 `parquet:"cat9,optional"`
	Click *int64 `parquet:"click,optional"`
	Index *int64 `parquet:"__index_level_0__,optional"`
}

type criteo struct {
	s    *Source
	rows []criteoRow
	at   int
}

// openCriteo reads all rows and sorts them by their index, which is their time: the full log has 16,468,027 rows in 30
// days.
func openCriteo(dir string, s *Source) (rows, error) {
	all, err := parquet.ReadFile[criteoRow](filepath.Join(dir, "small_train.parquet"))
	if err != nil {
		return nil, err
	}
	for i, r := range all {
		if r.Index == nil || r.Click == nil {
			return nil, fmt.Errorf("row %d has no index or no click", i+1)
		}
	}
	slices.SortFunc(all, func(a, b criteoRow) int { return int(*a.Index - *b.Index) })
	return &criteo{s: s, rows: all}, nil
}

func (c *criteo) next(l *lot.Lot, req *openrtb2.BidRequest) (float64, error) {
	if c.at == len(c.rows) {
		return 0, io.EOF
	}
	r := &c.rows[c.at]
	c.at++
	l.ID = "criteo-" + strconv.FormatInt(*r.Index, 10)
	req.Imp = []openrtb2.Imp{{ID: "1", Banner: banner(300, 250)}}
	req.Site = &openrtb2.Site{ID: "criteo"}
	req.User = &openrtb2.User{}
	for _, column := range []struct {
		name  string
		value *int64
	}{{"cat1", r.Cat1}, {"cat4", r.Cat4}, {"cat6", r.Cat6}, {"cat8", r.Cat8}, {"cat9", r.Cat9}} {
		if column.value != nil {
			req.User.Data = append(req.User.Data, data(column.name, strconv.FormatInt(*column.value, 10)))
		}
	}
	l.Imps = append(l.Imps, lot.Imp{ID: "1", Rival: c.s.rival(0), Size: "300x250", Label: label(*r.Click != 0)})
	return float64(*r.Index) / 16_468_027 * 30 * 86_400, nil
}

func (c *criteo) Close() error { return nil }

type talkingRow struct {
	ip, app, device, os, channel string
	at                           time.Time
	installed                    bool
}

type talking struct {
	s    *Source
	rows []talkingRow
	at   int
}

// openTalkingData reads all rows and sorts them by click_time. The log is of clicks, and its label says whether an app
// was installed after one; here the label plays the click, so that the rare event is learnt.
func openTalkingData(dir string, s *Source) (rows, error) {
	file, err := os.Open(filepath.Join(dir, "train_sample.csv"))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	r := csv.NewReader(file)
	if _, err := r.Read(); err != nil { // the header, whose first name is damaged in the original
		return nil, err
	}
	t := &talking{s: s}
	for {
		c, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if len(c) != 8 {
			return nil, fmt.Errorf("line with %d columns, want 8", len(c))
		}
		at, err := time.Parse(time.DateTime, c[5])
		if err != nil {
			return nil, err
		}
		t.rows = append(t.rows, talkingRow{ip: c[0], app: c[1], device: c[2], os: c[3], channel: c[4], at: at, installed: c[7] == "1"})
	}
	slices.SortStableFunc(t.rows, func(a, b talkingRow) int { return a.at.Compare(b.at) })
	return t, nil
}

func (t *talking) next(l *lot.Lot, req *openrtb2.BidRequest) (float64, error) {
	if t.at == len(t.rows) {
		return 0, io.EOF
	}
	r := &t.rows[t.at]
	t.at++
	l.ID = "talkingdata-" + strconv.Itoa(t.at)
	req.Imp = []openrtb2.Imp{{ID: "1", TagID: r.channel, Banner: banner(320, 50)}}
	req.App = &openrtb2.App{ID: "talkingdata", Publisher: &openrtb2.Publisher{ID: r.channel}}
	req.Device = &openrtb2.Device{DeviceType: 4, Model: r.device, OSV: r.os, Geo: &openrtb2.Geo{Country: "CHN", UTCOffset: 480}}
	req.User = &openrtb2.User{Data: []openrtb2.Data{data("ip", r.ip), data("app", r.app), data("device", r.device),
		data("os", r.os), data("channel", r.channel), data("hour", strconv.Itoa(r.at.Hour()))}}
	l.Imps = append(l.Imps, lot.Imp{ID: "1", Rival: t.s.rival(0), Size: "320x50", Label: label(r.installed)})
	return float64(r.at.Unix()), nil
}

func (t *talking) Close() error { return nil }
