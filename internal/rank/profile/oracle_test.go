package profile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/ua-parser/uap-go/uaparser"
	"go.yaml.in/yaml/v3"

	"gavel/internal/race"
)

// agentCase is a user agent with the family that a parser must find.
type agentCase struct {
	Text   string `yaml:"user_agent_string"`
	Family string `yaml:"family"`
}

// agentCases reads a file of real user agents. If it is not there, it skips the test.
func agentCases(t *testing.T, name string) []agentCase {
	t.Helper()
	cases := realAgents(t, name)
	if cases == nil {
		t.Skip("the real user agents are not here (set GAVEL_DATA to the folder that holds user_agents)")
	}
	return cases
}

// realAgents reads a file of real user agents. It returns nil if it is not there.
func realAgents(t *testing.T, name string) []agentCase {
	t.Helper()
	dir := os.Getenv("GAVEL_DATA")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "..", "shared", "data")
	}
	data, err := os.ReadFile(filepath.Join(dir, "user_agents", name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Cases []agentCase `yaml:"test_cases"`
	}
	if err := yaml.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Cases) < 400 {
		t.Fatalf("%s holds %d user agents, want more than 400", name, len(file.Cases))
	}
	return file.Cases
}

// oracleBrowsers and oracleSystems are the oracle's families with our values. Families that they lack are not compared:
// most are apps and crawlers, which are other here.
var (
	oracleBrowsers = map[string]string{
		"Chrome": "chrome", "Chrome Mobile": "chrome", "Chrome Mobile iOS": "chrome", "Firefox": "firefox", "Firefox Mobile": "firefox",
		"Firefox iOS": "firefox", "Edge": "edge", "Edge Mobile": "edge", "IE": "ie", "Opera": "opera", "Opera Mobile": "opera",
		"Opera Mini": "opera-mini", "Safari": "safari", "Mobile Safari": "safari", "Vivaldi": "vivaldi", "Amazon Silk": "silk",
		"Samsung Internet": "samsung", "Yandex Browser": "yandex", "Android": "android",
	}
	oracleSystems = map[string]string{
		"Android": "android", "Chrome OS": "chromeos", "iOS": "ios", "Linux": "linux", "Ubuntu": "linux", "Fedora": "linux",
		"FreeBSD": "freebsd", "OpenBSD": "openbsd", "Mac OS X": "macos", "Windows": "windows",
	}
)

// Where the fast parser names a browser or system that the exact one names too, they agree. The collection is of hard cases: apps,
// crawlers, phones of two decades. The fast parser answers Other for most of those, which is right for a ranking, and names
// what today's browsers send. The floors are against a worse version of it. A user agent counts where the oracle finds what
// the collection says, since the oracle does not know the newest ones.
func TestAgainstOracle(t *testing.T) {
	if race.Enabled {
		t.Skip("the oracle is slow; without the race detector it says as much")
	}
	oracle, err := uaparser.New()
	if err != nil {
		t.Fatal(err)
	}
	f := func(file string, step int, names map[string]string, find func(text string) (oracle, fast string)) {
		t.Helper()
		exact, other, named, equal := 0, 0, 0, 0
		cases := agentCases(t, file)
		for i := 0; i < len(cases); i += step {
			family, fast := find(cases[i].Text)
			if family != cases[i].Family {
				continue
			}
			exact++
			switch want, ok := names[family]; {
			case !ok:
			case fast == Other:
				other++
			default:
				named++
				if fast == want {
					equal++
				}
			}
		}
		t.Logf("%s: the oracle finds %d of %d; of those that it names as we do, the fast parser has %d as other, and %d of %d as the oracle",
			file, exact, (len(cases)+step-1)/step, other, equal, named)
		if exact < len(cases)/step*8/10 || named < 30 || equal*100 < named*85 {
			t.Errorf("%s: %d of %d are as the oracle has them, want at least 85 %% of 30 or more", file, equal, named)
		}
	}
	f("test_ua.yaml", 3, oracleBrowsers, func(text string) (string, string) {
		_, _, fast := readAgent(text)
		return oracle.ParseUserAgent(text).Family, fast
	})
	f("test_os.yaml", 2, oracleSystems, func(text string) (string, string) {
		_, fast, _ := readAgent(text)
		return oracle.ParseOs(text).Family, fast
	})
}
