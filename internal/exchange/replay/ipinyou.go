package replay

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/prebid/openrtb/v20/adcom1"
	"github.com/prebid/openrtb/v20/openrtb2"

	"gavel/internal/auction"
	"gavel/internal/exchange/lot"
)

// iPinYou prices are hundredths of a currency unit per mille: 70 is 0.70 CPM, which is 700 micros an impression.
const microsPerIPinYouPrice = 10

// ipinyouFields are the columns of a row, in their order.
var ipinyouFields = []string{"weekday", "hour", "useragent", "IP", "region", "city", "adexchange", "domain", "slotid", "slotwidth",
	"slotheight", "slotvisibility", "slotformat", "creative", "advertiser", "slotprice"}

type ipinyouRow struct {
	values  []string // by ipinyouFields
	clicked bool
	price   auction.Micros // market price
	teacher float32        // the pCTR that the log's authors published with the row; 0: none
	at      float64        // seconds since Sunday 00:00
}

type ipinyou struct {
	rows []ipinyouRow
	at   int
}

// openIPinYou reads the train rows, then the test rows, each sorted by weekday and hour, in which they are spread
// evenly: the log has no finer clock. Test rows have real market prices; train rows draw theirs from the histogram of
// the same campaign's won impressions (ipinyou_market_prices beside the set), or else from the test rows' prices.
func openIPinYou(dir string, s *Source) (rows, error) {
	names, err := ipinyouIndex(filepath.Join(dir, "featindex.fm.txt"))
	if err != nil {
		return nil, err
	}
	train, err := ipinyouRows(filepath.Join(dir, "train.fm.txt"), names)
	if err != nil {
		return nil, err
	}
	test, err := ipinyouRows(filepath.Join(dir, "test.fm.txt"), names)
	if err != nil {
		return nil, err
	}
	if err := ipinyouPrices(filepath.Join(dir, "test.theta.txt"), test); err != nil {
		return nil, err
	}
	landscape, err := ipinyouLandscape(filepath.Join(dir, "..", "ipinyou_market_prices", "info.2997.json"), test)
	if err != nil {
		return nil, err
	}
	for i := range train {
		train[i].price = landscape[s.key.With(uint64(i)).With(2).Intn(len(landscape))]
	}
	ipinyouClock(train)
	ipinyouClock(test)
	return &ipinyou{rows: append(train, test...)}, nil
}

// eachLine calls f with every line of a text file.
func eachLine(path string, f func(n int, line string) error) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for n := 1; lines.Scan(); n++ {
		if err := f(n, lines.Text()); err != nil {
			return fmt.Errorf("%s line %d: %w", path, n, err)
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// ipinyouIndex reads "field:value<TAB>index".
func ipinyouIndex(path string) (map[int]string, error) {
	names := map[int]string{}
	err := eachLine(path, func(_ int, line string) error {
		name, number, ok := strings.Cut(line, "\t")
		index, err := strconv.Atoi(number)
		if !ok || err != nil {
			return fmt.Errorf("%.80q is not field:value<TAB>index", line)
		}
		names[index] = name
		return nil
	})
	return names, err
}

// ipinyouRows reads "label index:1 index:1 …".
func ipinyouRows(path string, names map[int]string) ([]ipinyouRow, error) {
	var out []ipinyouRow
	err := eachLine(path, func(_ int, line string) error {
		columns := strings.Fields(line)
		if len(columns) == 0 || columns[0] != "0" && columns[0] != "1" {
			return fmt.Errorf("%.80q does not begin with a label 0 or 1", line)
		}
		row := ipinyouRow{clicked: columns[0] == "1", values: make([]string, len(ipinyouFields))}
		for _, c := range columns[1:] {
			number, _, _ := strings.Cut(c, ":")
			index, err := strconv.Atoi(number)
			name, known := names[index]
			if err != nil || !known {
				return fmt.Errorf("feature %q is not in featindex.fm.txt", c)
			}
			field, value, _ := strings.Cut(name, ":")
			i := slices.Index(ipinyouFields, field)
			if i < 0 {
				return fmt.Errorf("unknown field %q", field)
			}
			row.values[i] = value
		}
		out = append(out, row)
		return nil
	})
	return out, err
}

// ipinyouPrices reads "click price pCTR" for the first len(test) rows and checks that the labels agree.
func ipinyouPrices(path string, test []ipinyouRow) error {
	seen := 0
	err := eachLine(path, func(n int, line string) error {
		if n > len(test) {
			return nil
		}
		columns := strings.Fields(line)
		if len(columns) != 3 {
			return fmt.Errorf("%.80q is not click, price, pCTR", line)
		}
		row := &test[n-1]
		price, err := strconv.Atoi(columns[1])
		p, err2 := strconv.ParseFloat(columns[2], 32)
		if err != nil || err2 != nil || price < 0 || !(p >= 0 && p <= 1) {
			return fmt.Errorf("%.80q is not click, price, pCTR", line)
		}
		if (columns[0] == "1") != row.clicked {
			return fmt.Errorf("label %s is not that of row %d of test.fm.txt: the files do not belong together", columns[0], n)
		}
		row.price, row.teacher = max(auction.Micros(price)*microsPerIPinYouPrice, 1), float32(p)
		seen++
		return nil
	})
	if err == nil && seen < len(test) {
		err = fmt.Errorf("%s has prices for %d of %d test rows", path, seen, len(test))
	}
	return err
}

// ipinyouLandscape is a list of market prices to draw from.
func ipinyouLandscape(path string, test []ipinyouRow) ([]auction.Micros, error) {
	var out []auction.Micros
	text, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		for _, r := range test {
			out = append(out, r.price)
		}
		return out, nil
	}
	if err != nil {
		return nil, err
	}
	var info struct {
		Counts []int `json:"price_counter_train"`
	}
	if err := json.Unmarshal(text, &info); err != nil || len(info.Counts) == 0 {
		return nil, fmt.Errorf("%s has no price_counter_train: %w", path, err)
	}
	total := 0
	for _, n := range info.Counts {
		total += n
	}
	for price, n := range info.Counts { // ten thousand quantiles are plenty
		for range (n*10_000 + total/2) / max(total, 1) {
			out = append(out, max(auction.Micros(price)*microsPerIPinYouPrice, 1))
		}
	}
	return out, nil
}

// ipinyouClock sorts rows by weekday and hour and spreads them evenly in each hour.
func ipinyouClock(all []ipinyouRow) {
	hour := func(r *ipinyouRow) int {
		weekday, err1 := strconv.Atoi(r.values[0])
		h, err2 := strconv.Atoi(r.values[1])
		if err1 != nil || err2 != nil { // "other": before all
			return 0
		}
		return weekday*24 + h
	}
	slices.SortStableFunc(all, func(a, b ipinyouRow) int { return hour(&a) - hour(&b) })
	for i := 0; i < len(all); {
		j := i
		for j < len(all) && hour(&all[j]) == hour(&all[i]) {
			j++
		}
		for k := i; k < j; k++ {
			all[k].at = 3600 * (float64(hour(&all[k])) + float64(k-i)/float64(j-i))
		}
		i = j
	}
}

func (p *ipinyou) next(l *lot.Lot, req *openrtb2.BidRequest) (float64, error) {
	if p.at == len(p.rows) {
		return 0, io.EOF
	}
	r := &p.rows[p.at]
	p.at++
	value := func(field string) string { return r.values[slices.Index(ipinyouFields, field)] }
	l.ID = "ipinyou-" + strconv.Itoa(p.at)
	w, _ := strconv.ParseInt(value("slotwidth"), 10, 64)
	h, _ := strconv.ParseInt(value("slotheight"), 10, 64)
	imp := openrtb2.Imp{ID: "1", TagID: value("slotid"), Banner: banner(w, h), BidFloor: floorOf(value("slotprice"), r.price).CPM(), BidFloorCur: "USD"}
	switch value("slotvisibility") {
	case "FirstView":
		imp.Banner.Pos = ptr(adcom1.PlacementPosition(1))
	case "OtherView":
		imp.Banner.Pos = ptr(adcom1.PlacementPosition(3))
	}
	req.Imp = []openrtb2.Imp{imp}
	req.App = &openrtb2.App{ID: "ipinyou"}
	if d := value("domain"); d != "null" && d != "other" {
		req.App.Domain = d + ".example"
	}
	agent := value("useragent")
	os, _, _ := strings.Cut(agent, "_")
	req.Device = &openrtb2.Device{UA: agent, OS: os, IP: strings.Replace(value("IP"), "*", "0", 1), DeviceType: 4,
		Geo: &openrtb2.Geo{Country: "CHN", Region: value("region"), City: value("city"), UTCOffset: 480}}
	if os == "windows" || os == "mac" {
		req.Device.DeviceType = 2
	}
	req.User = &openrtb2.User{}
	for _, field := range []string{"weekday", "hour", "useragent", "IP", "adexchange", "slotvisibility", "slotformat", "slotprice", "creative", "advertiser"} {
		req.User.Data = append(req.User.Data, data(strings.ToLower(field), value(field)))
	}
	l.Imps = append(l.Imps, lot.Imp{ID: "1", Floor: 0, Rival: r.price, Size: fmt.Sprintf("%dx%d", w, h), Label: label(r.clicked), Teacher: r.teacher})
	return r.at, nil
}

// floorOf is the lower edge of a price bucket ("11-50", "101+"), never above the market price: the row was sold at it.
func floorOf(bucket string, market auction.Micros) auction.Micros {
	low, _, _ := strings.Cut(strings.TrimSuffix(bucket, "+"), "-")
	price, err := strconv.Atoi(low)
	if err != nil {
		return 0
	}
	return min(auction.Micros(price)*microsPerIPinYouPrice, market)
}

func (p *ipinyou) Close() error { return nil }
