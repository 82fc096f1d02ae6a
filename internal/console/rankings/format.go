package rankings

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// none stands where there is no figure.
const none = "–"

// whole writes a number with its thousands apart: 12,345.
func whole(n any) string {
	text := fmt.Sprint(n)
	var b strings.Builder
	for i, c := range text {
		if i > 0 && (len(text)-i)%3 == 0 && text[i-1] != '-' {
			b.WriteByte(',')
		}
		b.WriteRune(c)
	}
	return b.String()
}

// decimal writes a sum with as many places as say something.
func decimal(x float64) string {
	switch {
	case x == 0:
		return "0"
	case x >= 1000:
		return whole(int64(x + 0.5))
	case x >= 0.01:
		return strconv.FormatFloat(x, 'f', 2, 64)
	}
	return strconv.FormatFloat(x, 'g', 2, 64)
}

// rate writes a share per thousand.
func rate(x *float64) string {
	if x == nil {
		return none
	}
	return decimal(1000 * *x)
}

func ratio(x *float64) string {
	if x == nil {
		return none
	}
	return strconv.FormatFloat(*x, 'f', 2, 64)
}

// memory writes bytes.
func memory(n int64) string {
	switch {
	case n >= 10<<20:
		return whole(n>>20) + " MB"
	case n >= 10<<10:
		return whole(n>>10) + " KB"
	}
	return whole(n) + " B"
}

// age writes seconds.
func age(s float64) string {
	switch {
	case s < 120:
		return fmt.Sprintf("%.0f s", s)
	case s < 7200:
		return fmt.Sprintf("%.0f min", s/60)
	case s < 172800:
		return fmt.Sprintf("%.0f h", s/3600)
	}
	return fmt.Sprintf("%.0f days", s/86400)
}

func clock(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") }
