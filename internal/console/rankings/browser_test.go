package rankings

import (
	"context"
	"html"
	"image"
	"image/color"
	"image/png"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// browser runs a browser that is installed here, without a window, and returns what it prints. Where there is none, the test is skipped.
func browser(t *testing.T, arguments ...string) string {
	t.Helper()
	var path string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil && path == "" {
			path = found
		}
	}
	if path == "" {
		t.Skip("no browser is installed: chromium")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	flags := []string{"--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
		"--disable-component-update", "--disable-sync", "--user-data-dir=" + t.TempDir(), "--window-size=1300,2400"}
	command := exec.CommandContext(ctx, path, append(flags, arguments...)...)
	var faults strings.Builder
	command.Stderr = &faults
	out, err := command.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, faults.String())
	}
	return string(out)
}

var rows = regexp.MustCompile(`<th scope="row"><bdi>(.*?)</bdi>`)

// A real browser shows the page with its style, and nothing of it outside of the window. It follows a column's link, and no campaign's
// id becomes markup or a script.
func TestInBrowser(t *testing.T) {
	mux := http.NewServeMux()
	newPage(t, 5000).Register(mux)
	server := httptest.NewServer(mux)
	defer server.Close()
	picture := filepath.Join(t.TempDir(), "page.png")
	dom := browser(t, "--dump-dom", "--screenshot="+picture, server.URL+"/?limit=20")
	first(t, dom, "c4998")
	if n := len(rows.FindAllString(dom, -1)); n != 20 {
		t.Errorf("%d lines", n)
	}
	checkPicture(t, picture)

	link := regexp.MustCompile(`<a href="([^"]*)">Campaign</a>`).FindStringSubmatch(dom)
	if link == nil {
		t.Fatalf("the column has no link:\n%s", dom)
	}
	dom = browser(t, "--dump-dom", server.URL+"/"+html.UnescapeString(link[1]))
	first(t, dom, hostile)
	if !strings.Contains(dom, "<title>r1 – Gavel ranker</title>") {
		t.Error("a campaign's id has run as a script")
	}
}

func first(t *testing.T, dom, want string) {
	t.Helper()
	found := rows.FindStringSubmatch(dom)
	if found == nil || html.UnescapeString(found[1]) != want {
		t.Errorf("the first line is %q, want %q", found, want)
	}
}

// checkPicture checks the ground's colour, which the style gives, and that the right margin is empty.
func checkPicture(t *testing.T, path string) {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	picture, err := png.Decode(file)
	if err != nil {
		t.Fatal(err)
	}
	size, ground := picture.Bounds().Size(), color.RGBA{0xf4, 0xf5, 0xf7, 0xff}
	if size != (image.Point{1300, 2400}) {
		t.Fatalf("the picture is of %v", size)
	}
	for y := range size.Y {
		for x := size.X - 8; x < size.X; x++ {
			if got := color.RGBAModel.Convert(picture.At(x, y)); got != ground {
				t.Fatalf("at %d, %d the picture is %v, want %v: the page is too wide, or its style was not loaded", x, y, got, ground)
			}
		}
	}
}
