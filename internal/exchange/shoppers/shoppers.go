// Package shoppers plays the users of a ranker: who clicks, and who then buys.
//
// The life of a click begins with a visit to the ranker's /click: a bidder's ad led there, or the user came straight (Rate a
// second). Of the redirect, the Location alone is read: it says which campaign's page it is, and nobody opens a landing page.
// The hidden truth (package sales) decides whether a sale comes. After SaleDelay the advertiser reports it to the ranker's
// /sale, with the token that the landing page got.
//
// The shoppers also are the ones who run the campaigns: they write the ranker's campaign file anew when campaigns come and go.
// And they keep the books: for each click the true probability of the campaign that was shown, of the best one, and of chance.
package shoppers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"

	"gavel/internal/exchange/dice"
	"gavel/internal/exchange/notify"
	"gavel/internal/exchange/openloop"
	"gavel/internal/exchange/people"
	"gavel/internal/exchange/sales"
)

// Options describe the users and the campaigns.
type Options struct {
	Ranker        string  `yaml:"ranker"`        // base URL; empty: there are no shoppers
	CampaignFile  string  `yaml:"campaign_file"` // the ranker's, written anew when campaigns come and go
	Rate          float64 `yaml:"rate"`          // clicks a second that come straight to the ranker
	sales.Options `yaml:",inline"`
	SaleDelay     dice.Delay `yaml:"sale_delay"` // from click to sale
}

// Defaults returns the settings of the demonstration.
func Defaults() Options {
	return Options{Rate: 500, Options: sales.Defaults(),
		SaleDelay: dice.Delay{Min: 100 * time.Millisecond, Mean: time.Second, Max: 5 * time.Second}}
}

// Validate returns every fault.
func (o *Options) Validate() []error {
	faults := o.Options.Validate()
	if o.Ranker != "" {
		if u, err := url.Parse(o.Ranker); err != nil || u.Scheme != "http" || u.Hostname() == "" {
			faults = append(faults, fmt.Errorf("ranking.ranker: %q is not an http:// URL", o.Ranker))
		}
	}
	if o.Ranker != "" && o.CampaignFile == "" {
		faults = append(faults, errors.New("ranking.campaign_file: is empty; name the ranker's campaign file"))
	}
	if !(o.Rate >= 0 && o.Rate <= 1e6) {
		faults = append(faults, fmt.Errorf("ranking.rate: %v is not in 0 … 1000000 clicks a second", o.Rate))
	}
	if fault := o.SaleDelay.Fault("ranking.sale_delay"); fault != nil {
		faults = append(faults, fault)
	}
	return faults
}

// Crowd is the shoppers of one run. It is safe for concurrent use.
type Crowd struct {
	o     Options
	world *sales.World
	key   dice.Key
	books *books
	send  func(notify.Notice) // set by Run
	write func(path string, data []byte) error

	visits sync.Mutex // guards count
	count  uint64
}

// New returns the shoppers of a world. write makes a file appear whole.
func New(o Options, world *sales.World, write func(path string, data []byte) error) (*Crowd, error) {
	if faults := o.Validate(); len(faults) > 0 {
		return nil, fmt.Errorf("shoppers: cannot start: %w", errors.Join(faults...))
	}
	return &Crowd{o: o, world: world, key: dice.New(o.Seed).With(0x73686f70), books: newBooks(o.Start), write: write}, nil // "shop"
}

// Run has the clicks come that go straight to the ranker, and keeps the campaign file, until ctx ends. send queues a call for
// delivery; it is also used for what follows from a click, after Run has returned. An error means that the campaign file
// cannot be written, or the rate is none.
func (c *Crowd) Run(ctx context.Context, start time.Time) error {
	state := c.world.At(time.Now())
	if err := c.write(c.o.CampaignFile, CampaignFile(state)); err != nil {
		return fmt.Errorf("shoppers: cannot write the campaign file: %w", err)
	}
	var renewing sync.WaitGroup
	defer renewing.Wait()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	renewing.Go(func() { cancel(c.renewLoop(ctx, state)) })
	if c.o.Rate == 0 {
		<-ctx.Done()
		return fault(ctx)
	}
	arrivals, err := openloop.NewArrivals("poisson", c.o.Rate, c.o.Seed)
	if err != nil {
		return fmt.Errorf("shoppers: %w", err)
	}
	openloop.Run(ctx, start, func() (time.Duration, bool) { return arrivals.Next(), true }, func(due time.Time) {
		c.Visit(people.Draw(c.next()), c.o.Ranker+"/click?placement=direct", due, false)
	})
	return fault(ctx)
}

// fault is why ctx was cancelled, if the cause was an error of ours.
func fault(ctx context.Context) error {
	if err := context.Cause(ctx); err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil
}

// renewLoop writes the campaign file when campaigns came and went, until ctx ends.
func (c *Crowd) renewLoop(ctx context.Context, last *sales.State) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			state := c.world.At(now)
			if state == last {
				continue
			}
			last = state
			if err := c.write(c.o.CampaignFile, CampaignFile(state)); err != nil {
				return fmt.Errorf("shoppers: cannot write the campaign file: %w", err)
			}
		}
	}
}

func (c *Crowd) next() dice.Key {
	c.visits.Lock()
	defer c.visits.Unlock()
	c.count++
	return c.key.With(c.count)
}

// Leads says whether a redirect leads to the ranker's clicks.
func (c *Crowd) Leads(location string) bool {
	return strings.HasPrefix(location, c.o.Ranker+"/click?") || location == c.o.Ranker+"/click"
}

// Came has the user of a bid request visit the ranker, where the ad's link led to. agent, country (alpha-3) and offset (minutes
// east of UTC) are the request's.
func (c *Crowd) Came(location, agent, country string, offset int) {
	c.Visit(people.Of(c.next(), agent, country, offset), location, time.Now(), true)
}

// Visit sends a person to a ranker's click link at a time. As the operator's proxy would, it adds the click's country, network
// provider and zone to the link.
func (c *Crowd) Visit(p people.Person, link string, at time.Time, fromAuction bool) {
	separator := "&"
	if !strings.Contains(link, "?") {
		separator = "?"
	}
	link += separator + "country=" + p.Text(people.Country, at) + "&provider=" + p.Text(people.Provider, at) + "&zone=" + url.QueryEscape(p.Zone()) +
		"&gdpr=0" // consent is the simulated exchange's matter
	c.send(notify.Notice{Kind: notify.Visit, URL: link, At: at, From: notify.Browser{Agent: p.Agent, Language: p.AcceptLanguage()},
		Done: func(r notify.Reply) { c.landed(&p, at, r, fromAuction) }})
}

// landed decides what the user does on the page that the ranker chose.
func (c *Crowd) landed(p *people.Person, clicked time.Time, r notify.Reply, fromAuction bool) {
	now := time.Now()
	state := c.world.At(now)
	id, token := pageOf(r.Location)
	campaign := state.Find(id)
	if r.Status != 302 || campaign == nil || token == "" {
		c.books.astray()
		return
	}
	shown := campaign.Probability(p, now)
	c.books.clicked(state, p, now, visit{campaign: campaign, shown: shown, took: now.Sub(clicked), fromAuction: fromAuction})
	k := c.next()
	if !k.With(1).Chance(shown) {
		return
	}
	c.send(notify.Notice{Kind: notify.Sale, URL: c.o.Ranker + "/sale?t=" + url.QueryEscape(token) + "&c=order-" + fmt.Sprint(uint64(k)),
		At: now.Add(c.o.SaleDelay.Draw(k.With(2))), Done: func(notify.Reply) { c.books.sold(campaign) }})
}

// Start says how calls are sent. It must be called before any other method.
func (c *Crowd) Start(send func(notify.Notice)) { c.send = send }

const (
	pageHost  = ".shop.example"
	pageToken = "click"
)

// CampaignFile is the ranker's campaign file for the active campaigns of a state. A sale is worth the same everywhere.
func CampaignFile(s *sales.State) []byte {
	var b bytes.Buffer
	b.WriteString("# Written by the exchange: campaigns come and go.\ncampaigns:\n")
	for _, c := range s.Active {
		fmt.Fprintf(&b, "  - {id: %s, landing: \"https://%s%s/?%s=${TOKEN}\", value: 1}\n", c.ID, c.ID, pageHost, pageToken)
	}
	return b.Bytes()
}

// pageOf returns the campaign and the token of a landing page; both are empty if it is none of ours.
func pageOf(location string) (campaign, token string) {
	u, err := url.Parse(location)
	if err != nil || !strings.HasSuffix(u.Host, pageHost) {
		return "", ""
	}
	return strings.TrimSuffix(u.Host, pageHost), u.Query().Get(pageToken)
}
