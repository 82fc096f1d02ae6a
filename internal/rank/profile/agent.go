package profile

import (
	"sync"

	useragent "github.com/medama-io/go-useragent"
	"github.com/medama-io/go-useragent/agents"
)

// The values of device, system and browser, beside Other and the empty text.
var (
	Devices  = []string{"desktop", "mobile", "tablet", "tv", "bot"}
	Systems  = []string{"android", "chromeos", "ios", "linux", "freebsd", "openbsd", "macos", "windows"}
	Browsers = []string{"android", "chrome", "edge", "firefox", "ie", "opera", "opera-mini", "safari", "vivaldi", "silk",
		"samsung", "falkon", "nintendo", "yandex", "huawei"}
)

// parser is the reader of user agents, and its names with our values.
type parser struct {
	parser   *useragent.Parser
	devices  map[agents.Device]string
	systems  map[agents.OS]string
	browsers map[agents.Browser]string
}

// agentParser makes the parser, once.
var agentParser = sync.OnceValue(func() *parser {
	return &parser{
		parser: useragent.NewParser(),
		devices: map[agents.Device]string{
			agents.DeviceDesktop: "desktop", agents.DeviceMobile: "mobile", agents.DeviceTablet: "tablet",
			agents.DeviceTV: "tv", agents.DeviceBot: "bot",
		},
		systems: map[agents.OS]string{
			agents.OSAndroid: "android", agents.OSChromeOS: "chromeos", agents.OSIOS: "ios", agents.OSLinux: "linux",
			agents.OSFreeBSD: "freebsd", agents.OSOpenBSD: "openbsd", agents.OSMacOS: "macos", agents.OSWindows: "windows",
		},
		browsers: map[agents.Browser]string{
			agents.BrowserAndroid: "android", agents.BrowserChrome: "chrome", agents.BrowserEdge: "edge",
			agents.BrowserFirefox: "firefox", agents.BrowserIE: "ie", agents.BrowserOpera: "opera",
			agents.BrowserOperaMini: "opera-mini", agents.BrowserSafari: "safari", agents.BrowserVivaldi: "vivaldi",
			agents.BrowserSilk: "silk", agents.BrowserSamsung: "samsung", agents.BrowserFalkon: "falkon",
			agents.BrowserNintendo: "nintendo", agents.BrowserYandex: "yandex", agents.BrowserHuawei: "huawei",
		},
	}
})

// readAgent returns what a user agent says. All are empty if it is.
func readAgent(text string) (device, system, browser string) {
	if text == "" {
		return "", "", ""
	}
	p := agentParser()
	agent := p.parser.Parse(text[:min(len(text), MaxText)])
	return known(p.devices[agent.Device()]), known(p.systems[agent.OS()]), known(p.browsers[agent.Browser()])
}

// known returns the value, or Other for the empty text.
func known(value string) string {
	if value == "" {
		return Other
	}
	return value
}
