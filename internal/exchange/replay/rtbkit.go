package replay

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/prebid/openrtb/v20/openrtb2"
	"github.com/ulikunitz/xz"

	"gavel/internal/exchange/lot"
	"gavel/internal/iso"
)

// rtbkitRow is a recorded bid request in Datacratic's own format, as far as it has a place in OpenRTB.
type rtbkitRow struct {
	Exchange  string  `json:"exchange"`
	ID        string  `json:"id"`
	IP        string  `json:"ipAddress"`
	Language  string  `json:"language"`
	Timestamp float64 `json:"timestamp"`
	URL       string  `json:"url"`
	UserAgent string  `json:"userAgent"`
	Location  struct {
		City     string          `json:"cityName"`
		Country  string          `json:"countryCode"`
		Region   string          `json:"regionCode"`
		Postal   string          `json:"postalCode"`
		DMA      json.RawMessage `json:"dma"`
		TimeZone *int64          `json:"timezoneOffsetMinutes"`
	} `json:"location"`
	Restrictions struct {
		ClickURL []string `json:"clickUrl"`
	} `json:"restrictions"`
	Segments struct {
		Verticals []json.RawMessage `json:"adxVerticals"` // [id, weight] or id
	} `json:"segments"`
	Spots []struct {
		ID      string   `json:"id"`
		Formats []string `json:"formats"`
		Reserve float64  `json:"reservePrice"`
	} `json:"spots"`
	UserIDs struct {
		Exchange string `json:"xchg"`
	} `json:"userIds"`
}

type rtbkit struct {
	s     *Source
	lines [][]byte
	times []float64
	order []int
	at    int
	salt  []byte
}

// openRTBkit unpacks all lines (19 MB) and sorts them by timestamp: the recording is out of order. The last octet of
// addresses is masked and user ids are hashed anew with a key from the seed, so that nothing in a request leads back to
// the people in the log.
func openRTBkit(dir string, s *Source) (rows, error) {
	file, err := os.Open(filepath.Join(dir, "20000-datacratic-auctions.xz"))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	unpacked, err := xz.NewReader(bufio.NewReader(file))
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(unpacked, 1<<30))
	if err != nil {
		return nil, err
	}
	r := &rtbkit{s: s, salt: binary.LittleEndian.AppendUint64(nil, uint64(s.key.With(3)))}
	for line := range bytes.Lines(text) {
		var clock struct {
			Timestamp float64 `json:"timestamp"`
		}
		if err := json.Unmarshal(line, &clock); err != nil {
			return nil, fmt.Errorf("line %d: %w", len(r.lines)+1, err)
		}
		r.order = append(r.order, len(r.lines))
		r.lines, r.times = append(r.lines, line), append(r.times, clock.Timestamp)
	}
	slices.SortStableFunc(r.order, func(a, b int) int {
		switch {
		case r.times[a] < r.times[b]:
			return -1
		case r.times[a] > r.times[b]:
			return 1
		}
		return 0
	})
	return r, nil
}

func (r *rtbkit) next(l *lot.Lot, req *openrtb2.BidRequest) (float64, error) {
	if r.at == len(r.order) {
		return 0, io.EOF
	}
	n := r.order[r.at]
	r.at++
	var row rtbkitRow
	if err := json.Unmarshal(r.lines[n], &row); err != nil {
		return 0, fmt.Errorf("line %d: %w", n+1, err)
	}
	l.ID = row.ID
	user := r.rehash(row.UserIDs.Exchange)
	req.Site = &openrtb2.Site{Page: row.URL}
	if u, err := url.Parse(row.URL); err == nil {
		req.Site.Domain = strings.TrimPrefix(u.Hostname(), "www.")
	}
	req.Device = &openrtb2.Device{UA: row.UserAgent, IP: maskIP(row.IP), Language: row.Language, DeviceType: 2,
		Geo: &openrtb2.Geo{Country: iso.Alpha3(row.Location.Country), Region: row.Location.Region, City: row.Location.City,
			ZIP: row.Location.Postal, Metro: strings.Trim(string(row.Location.DMA), `"`)}}
	if zone := row.Location.TimeZone; zone != nil && *zone >= -14*60 && *zone <= 14*60 {
		req.Device.Geo.UTCOffset = *zone
		if row.Exchange == "context_web" { // counts west of UTC
			req.Device.Geo.UTCOffset = -*zone
		}
	}
	req.User = &openrtb2.User{ID: user, Data: []openrtb2.Data{data("exchange", row.Exchange)}}
	if verticals := firstNumbers(row.Segments.Verticals); len(verticals) > 0 {
		req.User.Data = append(req.User.Data, data("adx_vertical", verticals...))
	}
	req.BAdv = row.Restrictions.ClickURL
	l.Context = lot.Context{Domain: req.Site.Domain, DeviceType: 2, Country: req.Device.Geo.Country,
		UTCOffset: int(req.Device.Geo.UTCOffset), Cluster: user[:1]}
	for i, spot := range row.Spots {
		imp := openrtb2.Imp{ID: spot.ID, Banner: &openrtb2.Banner{}, BidFloor: spot.Reserve}
		for _, f := range spot.Formats {
			w, h, ok := strings.Cut(f, "x")
			width, err1 := strconv.ParseInt(w, 10, 64)
			height, err2 := strconv.ParseInt(h, 10, 64)
			if !ok || err1 != nil || err2 != nil {
				return 0, fmt.Errorf("line %d: spot %d: format %q is no size", n+1, i, f)
			}
			imp.Banner.Format = append(imp.Banner.Format, openrtb2.Format{W: width, H: height})
		}
		if len(spot.Formats) == 0 {
			return 0, fmt.Errorf("line %d: spot %d has no format", n+1, i)
		}
		req.Imp = append(req.Imp, imp)
		l.Imps = append(l.Imps, lot.Imp{ID: spot.ID, Rival: r.s.rival(i), Size: spot.Formats[0]})
	}
	return row.Timestamp, nil
}

func (r *rtbkit) rehash(id string) string {
	h := hmac.New(sha256.New, r.salt)
	h.Write([]byte(id))
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// maskIP zeroes the last octet of an IPv4 address and the last 80 bits of an IPv6 address; "" if it is neither.
func maskIP(ip string) string {
	addr, err := netip.ParseAddr(ip)
	if err != nil {
		return ""
	}
	bits := 24
	if addr.Is6() {
		bits = 48
	}
	prefix, err := addr.Prefix(bits)
	if err != nil {
		return ""
	}
	return prefix.Addr().String()
}

// firstNumbers reads [[id, weight], …] or [id, …].
func firstNumbers(list []json.RawMessage) []string {
	var out []string
	for _, raw := range list {
		text := strings.TrimPrefix(string(raw), "[")
		text, _, _ = strings.Cut(text, ",")
		out = append(out, strings.TrimSpace(strings.TrimSuffix(text, "]")))
	}
	return out
}

func (r *rtbkit) Close() error { return nil }
