package sim

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/prebid/openrtb/v20/adcom1"
	"github.com/prebid/openrtb/v20/openrtb2"

	"gavel/internal/exchange/dice"
)

// format is the formats of an impression: the JSON of its banner, video, audio and native objects, each after a comma.
type format struct {
	size  string // "300x250", "video", …: of the first object
	price float64
	json  []byte
}

type formats struct {
	pc, mobile, tab   []*format
	video, tvVideo    *format
	native, audio     *format
	bannerVideo       *format
	bannerNative      *format
	doubleBanner      *format
	mobileVideo       *format
	interstitialSizes *format
}

// nativeRequest requests a title, a main image and a sponsor line (native 1.2).
const nativeRequest = `{"ver":"1.2","context":1,"plcmttype":1,"plcmtcnt":1,"assets":[{"id":1,"required":1,"title":{"len":90}},` +
	`{"id":2,"required":1,"img":{"type":3,"wmin":300,"hmin":157}},{"id":3,"required":0,"data":{"type":1,"len":25}}],` +
	`"eventtrackers":[{"event":1,"methods":[1]}]}`

func newFormats() (*formats, error) {
	f := &formats{}
	var first error
	build := func(size string, price float64, imp openrtb2.Imp) *format {
		text, err := json.Marshal(struct {
			Banner *openrtb2.Banner `json:"banner,omitempty"`
			Video  *openrtb2.Video  `json:"video,omitempty"`
			Audio  *openrtb2.Audio  `json:"audio,omitempty"`
			Native *openrtb2.Native `json:"native,omitempty"`
			Instl  int8             `json:"instl,omitempty"`
		}{imp.Banner, imp.Video, imp.Audio, imp.Native, imp.Instl})
		if err != nil && first == nil {
			first = fmt.Errorf("sim: cannot write format %s: %w", size, err)
		}
		text = bytes.TrimSuffix(text, []byte("}"))
		if len(text) > 0 {
			text[0] = ','
		}
		return &format{size: size, price: price, json: text}
	}
	banner := func(sizes ...[2]int64) *openrtb2.Banner {
		b := &openrtb2.Banner{W: &sizes[0][0], H: &sizes[0][1], Pos: adcom1.PlacementPosition(1).Ptr(),
			BAttr: []adcom1.CreativeAttribute{8, 9}, API: []adcom1.APIFramework{5}}
		for _, s := range sizes {
			b.Format = append(b.Format, openrtb2.Format{W: s[0], H: s[1]})
		}
		return b
	}
	video := func(w, h int64) *openrtb2.Video {
		return &openrtb2.Video{MIMEs: []string{"video/mp4", "video/webm"}, MinDuration: 5, MaxDuration: 30, W: &w, H: &h,
			Protocols: []adcom1.MediaCreativeSubtype{2, 3, 5, 6, 7}, Plcmt: 1, Linearity: 1,
			PlaybackMethod: []adcom1.PlaybackMethod{2}, API: []adcom1.APIFramework{7}}
	}
	native := &openrtb2.Native{Request: nativeRequest, Ver: "1.2"}
	single := func(price float64, w, h int64) *format {
		size := fmt.Sprintf("%dx%d", w, h)
		return build(size, price, openrtb2.Imp{Banner: banner([2]int64{w, h})})
	}
	mpu, leader, mobileBar := single(1, 300, 250), single(0.8, 728, 90), single(0.6, 320, 50)
	sky, billboard, half := single(0.7, 160, 600), single(1.5, 970, 250), single(1.3, 300, 600)
	f.interstitialSizes = build("320x480", 1.8, openrtb2.Imp{Banner: banner([2]int64{320, 480}), Instl: 1})
	f.doubleBanner = build("300x250", 1, openrtb2.Imp{Banner: banner([2]int64{300, 250}, [2]int64{336, 280}, [2]int64{300, 600})})
	f.video, f.mobileVideo, f.tvVideo = build("video", 4, openrtb2.Imp{Video: video(640, 360)}),
		build("video", 3.5, openrtb2.Imp{Video: video(360, 640)}), build("video", 6, openrtb2.Imp{Video: video(1920, 1080)})
	f.native = build("native", 1.6, openrtb2.Imp{Native: native})
	f.audio = build("audio", 2.5, openrtb2.Imp{Audio: &openrtb2.Audio{MIMEs: []string{"audio/mpeg", "audio/mp4"}, MinDuration: 5,
		MaxDuration: 30, Protocols: []adcom1.MediaCreativeSubtype{2, 3, 9, 10}}})
	f.bannerVideo = build("300x250", 2, openrtb2.Imp{Banner: banner([2]int64{300, 250}), Video: video(300, 250)})
	f.bannerNative = build("300x250", 1.3, openrtb2.Imp{Banner: banner([2]int64{300, 250}), Native: native})
	// Repeated entries have more weight.
	f.pc = []*format{mpu, mpu, mpu, mpu, leader, leader, leader, sky, billboard, half, f.doubleBanner, f.video, f.native, f.bannerVideo}
	f.mobile = []*format{mobileBar, mobileBar, mobileBar, mobileBar, mpu, mpu, mpu, f.native, f.native, f.mobileVideo, f.bannerNative, f.interstitialSizes}
	f.tab = []*format{leader, leader, mpu, mpu, mpu, f.native, f.video, f.bannerVideo}
	return f, first
}

// pick draws the format of an impression on that device and inventory.
func (f *formats) pick(kind adcom1.DeviceType, inv *inventory, k dice.Key) *format {
	if inv.audio && kind != tv && k.With(1).Chance(0.5) {
		return f.audio
	}
	list := f.pc
	switch kind {
	case tv:
		return f.tvVideo
	case phone:
		list = f.mobile
	case tablet:
		list = f.tab
	}
	return list[k.With(2).Intn(len(list))]
}

// quirk rewrites a request as some exchanges do: with numbers as strings, floats or booleans instead of integers. The
// meaning does not change.
func quirk(b []byte, k dice.Key) []byte {
	switch k.Intn(4) {
	case 0:
		b = replaceNumber(b, `"secure":`, func(n string) string { return `"` + n + `"` })
		b = replaceNumber(b, `"tmax":`, func(n string) string { return n + ".0" })
	case 1:
		b = bytes.Replace(b, []byte(`"secure":1`), []byte(`"secure":true`), 1)
		b = bytes.Replace(b, []byte(`"secure":0`), []byte(`"secure":false`), 1)
		b = replaceNumber(b, `"tmax":`, func(n string) string { return `"` + n + `"` })
	case 2:
		b = replaceNumber(b, `"devicetype":`, func(n string) string { return `"` + n + `"` })
		b = replaceNumber(b, `"w":`, func(n string) string { return `"` + n + `"` })
	case 3:
		b = replaceNumber(b, `"at":`, func(n string) string { return n + ".0" })
		b = bytes.Replace(b, []byte(`"coppa":0`), []byte(`"coppa":false`), 1)
	}
	return b
}

// replaceNumber rewrites the number after the first occurrence of key.
func replaceNumber(b []byte, key string, rewrite func(string) string) []byte {
	i := bytes.Index(b, []byte(key))
	if i < 0 {
		return b
	}
	i += len(key)
	end := i
	for end < len(b) && (b[end] >= '0' && b[end] <= '9' || b[end] == '.') {
		end++
	}
	if end == i {
		return b
	}
	return append(append(append([]byte{}, b[:i]...), rewrite(string(b[i:end]))...), b[end:]...)
}
